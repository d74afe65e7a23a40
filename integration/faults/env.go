package main

import (
	"context"
	"errors"
	"fmt"
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
func (e *env) judge(name string, h history.History, hasToFail bool) (history.Report, error) {
	r := history.Check(h)
	if !e.begun {
		e.begun = true
		e.printf("| store | operations | accepted | expired | failed | nonces | by 2 or more | lost | faults | calls hit | outage | accepted twice | violations |\n" +
			"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	}
	atLeast := "" // where nothing was broken
	if r.Faults > 0 {
		atLeast = fmt.Sprint(r.InFlight)
	}
	if hasToFail {
		name += " (*has to fail*)"
	}
	e.printf("| %s | %d | %d | %d | %d | %d | %d %% | %d | %d | %s | %v | %d | %d |\n", name, r.Operations, r.Accepted, r.Expired, r.Failed,
		r.Nonces, 100*r.Shared/max(r.Nonces, 1), r.Lost, r.Faults, atLeast, r.Outage.Round(10*time.Millisecond), r.Twice, r.Violations)
	switch {
	case !hasToFail && r.Violations+r.Twice > 0:
		return r, fmt.Errorf("%s: %d violations, %d nonces accepted twice: %s", name, r.Violations, r.Twice, strings.Join(r.Examples, "; "))
	case hasToFail && r.Violations == 0:
		return r, fmt.Errorf("%s: kept the promise: the checker was not put to the test", name)
	case r.Violations < r.Twice:
		return r, fmt.Errorf("%s: the checker found %d of %d nonces that were accepted twice", name, r.Violations, r.Twice)
	}
	if err := r.Vacuous(e.acceptances()); err != nil {
		return r, fmt.Errorf("%s: vacuous: %w", name, err)
	}
	return r, nil
}

// A server is what can be killed and started again.
type server interface {
	Start() error
	Kill() error
	Stop()
}

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
	h, err := e.under(ctx, k.configs, k.times, func(l *load.Load) error {
		time.Sleep(k.apart)
		if err := l.Break(ctx, k.server.Kill); err != nil {
			return err
		}
		return k.server.Start()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", k.name, err)
	}
	_, err = e.judge(k.name, h, k.hasToFail)
	return err
}

// under runs a load with n faults in it, evenly spread over its acceptances,
// and returns its history. Each process is accepted with some nonce before the
// first fault, between two, and after the last.
func (e *env) under(ctx context.Context, configs []load.Config, n int, fault func(*load.Load) error) (h history.History, err error) {
	l, err := load.Start(configs...)
	if err != nil {
		return h, err
	}
	between := e.acceptances()/(n+1) + 1
	for range n {
		if err = l.Accept(ctx, between); err == nil {
			err = fault(l)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = l.Accept(ctx, between)
	}
	h, stopped := l.Stop()
	return h, errors.Join(err, stopped)
}
