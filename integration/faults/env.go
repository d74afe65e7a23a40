package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
)

// An env is what a scenario works with.
type env struct {
	dir   string // for servers and files
	short bool
	text  strings.Builder // the report
	begun bool            // the table of histories
}

// scaled is n, or fewer in a short run.
func (e *env) scaled(n, short int) int {
	if e.short {
		return short
	}
	return n
}

// acceptances are how many a history needs to mean something.
func (e *env) acceptances() int { return e.scaled(10_000, 500) }

func (e *env) printf(format string, args ...any) { fmt.Fprintf(&e.text, format, args...) }

// judge reports a history, and fails if it is a bad one: if it violates the
// promise, where it should not, or is vacuous.
func (e *env) judge(name string, ops []history.Op, inFlight []int, hasToFail bool) error {
	r := history.Check(ops)
	if !e.begun {
		e.begun = true
		e.printf("| store | operations | accepted | failed | nonces | by 2 or more | faults | in flight | outage | accepted twice | violations |\n" +
			"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	}
	atLeast := "" // where nothing was killed
	if len(inFlight) > 0 {
		atLeast = fmt.Sprint(slices.Min(inFlight))
	}
	if hasToFail {
		name += " (*has to fail*)"
	}
	e.printf("| %s | %d | %d | %d | %d | %d %% | %d | %s | %v | %d | %d |\n", name, r.Operations, r.Accepted, r.Failed,
		r.Nonces, 100*r.Shared/max(r.Nonces, 1), len(inFlight), atLeast, r.Outage.Round(10*time.Millisecond), r.Twice, r.Violations)
	switch {
	case !hasToFail && r.Violations > 0:
		return fmt.Errorf("%s: %d violations: %s", name, r.Violations, strings.Join(r.Examples, "; "))
	case hasToFail && r.Twice == 0:
		return fmt.Errorf("%s: accepted nothing twice: the checker was not put to the test", name)
	case slices.Contains(inFlight, 0):
		return fmt.Errorf("%s: nothing was in flight at a fault", name)
	}
	if err := r.Vacuous(e.acceptances()); err != nil {
		return fmt.Errorf("%s: vacuous: %w", name, err)
	}
	return nil
}

// A server is what can be killed and started again.
type server interface {
	Start() error
	Kill() error
	Stop()
}

// patience is how long a load may take to get anywhere after a fault.
const patience = 90 * time.Second

// workers are n processes on a database, one of two with group commit.
func workers(n, callers int, driver string, dsn ...string) []load.Config {
	all := make([]load.Config, n)
	for i := range all {
		all[i] = load.Config{Driver: driver, DSN: dsn[i%len(dsn)], Callers: callers, GroupCommit: i%2 == 1,
			TTL: 5 * time.Minute, Timeout: 5 * time.Second}
	}
	return all
}

func migrate(ctx context.Context, c load.Config) error {
	r, db, err := c.Repository()
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	return r.Migrate(ctx)
}

// A killing is a server that is killed so many times under a load.
type killing struct {
	name      string
	server    server
	configs   []load.Config
	times     int
	apart     time.Duration // at least
	hasToFail bool
}

// kill judges what the callers of a server that is killed were told.
func (e *env) kill(ctx context.Context, k killing) error {
	if err := k.server.Start(); err != nil {
		return err
	}
	defer k.server.Stop()
	if err := migrate(ctx, k.configs[0]); err != nil {
		return err
	}
	var inFlight []int
	ops, err := e.under(k.configs, k.times, func(l *load.Load) error {
		time.Sleep(k.apart)
		inFlight = append(inFlight, l.InFlight())
		if err := k.server.Kill(); err != nil {
			return err
		}
		return k.server.Start()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	return e.judge(k.name, ops, inFlight, k.hasToFail)
}

// under runs a load with n faults in it, evenly spread over its acceptances,
// and returns its history.
func (e *env) under(configs []load.Config, n int, fault func(*load.Load) error) (ops []history.Op, err error) {
	l, err := load.Start(configs...)
	if err != nil {
		return nil, err
	}
	between := e.acceptances()/(n+1) + 1
	for range n {
		if err = l.Accept(between, patience); err == nil {
			err = fault(l)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = l.Accept(between, patience)
	}
	ops, stopped := l.Stop()
	return ops, errors.Join(err, stopped)
}
