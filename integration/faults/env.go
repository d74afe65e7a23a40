package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
)

// An env is the environment of a scenario.
type env struct {
	dir     string // of servers and files
	short   bool
	repeats int             // faults of each kind
	enough  int             // acceptances of a history, if not the usual number
	text    strings.Builder // the report
	begun   bool            // the report has the head of its table of histories
}

// scaled returns n, or short in a short run.
func (e *env) scaled(n, short int) int {
	if e.short {
		return short
	}
	return n
}

// acceptances is how many acceptances a history needs.
func (e *env) acceptances() int { return cmp.Or(e.enough, e.scaled(10_000, 500)) }

func (e *env) printf(format string, args ...any) { fmt.Fprintf(&e.text, format, args...) }

// judge reports a history. It returns an error if the history is vacuous, or if it
// violates the promise and hasToFail is false, or the other way round.
func (e *env) judge(name string, h history.History, hasToFail bool) (history.Report, error) {
	r := history.Check(h)
	if !e.begun {
		e.begun = true
		e.printf("| store | operations | stored | sealed | proofs | expired | failed | presented | by 2 or more | lost | faults | calls hit | outage | accepted twice | violations |\n" +
			"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	}
	atLeast := "" // without faults
	if r.Faults > 0 {
		atLeast = fmt.Sprint(r.InFlight)
	}
	if hasToFail {
		name += " (*has to fail*)"
	}
	of := r.Of
	e.printf("| %s | %d | %d | %d | %d | %d | %d | %d | %d %% | %d | %d | %s | %v | %s | %d |\n", name, r.Operations,
		of[history.Stored].Accepted, of[history.Sealed].Accepted, of[history.Proof].Accepted, r.Expired, r.Failed,
		r.Nonces, 100*r.Shared/max(r.Nonces, 1), r.Lost, r.Faults, atLeast, r.Outage.Round(10*time.Millisecond), twice(r), r.Violations)
	switch {
	case !hasToFail && r.Violations+r.Twice > 0:
		return r, fmt.Errorf("%s: %d violations, %d accepted twice: %s", name, r.Violations, r.Twice, strings.Join(r.Examples, "; "))
	case hasToFail && r.Violations == 0:
		return r, fmt.Errorf("%s: the checker found no violation of a store that has to fail", name)
	case r.Violations < r.Twice:
		return r, fmt.Errorf("%s: the checker found only %d of %d that were accepted twice", name, r.Violations, r.Twice)
	}
	if err := r.Vacuous(e.acceptances()); err != nil {
		return r, fmt.Errorf("%s: vacuous: %w", name, err)
	}
	for form, tally := range of {
		if least := e.acceptances() / 20; tally.Accepted < least {
			return r, fmt.Errorf("%s: vacuous: %d acceptances of the form %v, want %d", name, tally.Accepted, history.Form(form), least)
		}
	}
	return r, nil
}

// twice returns the number of each form that was accepted twice.
func twice(r history.Report) string {
	if r.Twice == 0 {
		return "0"
	}
	return fmt.Sprintf("%d, %d, %d", r.Of[history.Stored].Twice, r.Of[history.Sealed].Twice, r.Of[history.Proof].Twice)
}

// judgeForms is judge for a store that has to fail for the given forms, and for no
// other.
func (e *env) judgeForms(name string, h history.History, fail ...history.Form) (history.Report, error) {
	r, err := e.judge(name, h, len(fail) > 0)
	for form, tally := range r.Of {
		if form := history.Form(form); err == nil && slices.Contains(fail, form) != (tally.Violations > 0) {
			err = fmt.Errorf("%s: %d violations of the form %v: %s", name, tally.Violations, form, strings.Join(r.Examples, "; "))
		}
	}
	return r, err
}

// A server can be killed and started again.
type server interface {
	Start() error
	Kill() error
	Stop()
}

// workers configures n processes on a database, which issue stored and sealed nonces
// and accept these and proofs. Every second one has group commit.
func workers(n, callers int, driver string, dsn ...string) []load.Config {
	all := make([]load.Config, n)
	for i := range all {
		all[i] = load.Config{Driver: driver, DSN: dsn[i%len(dsn)], Callers: callers, GroupCommit: i%2 == 1,
			Roles: load.AllForms, Keys: []load.Key{1}, TTL: 5 * time.Minute, Timeout: 5 * time.Second}
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

// A killing is a server that is killed several times under a load.
type killing struct {
	name      string
	server    server
	configs   []load.Config
	times     int
	apart     time.Duration // the least time between two kills
	hasToFail bool
}

// kill runs k and judges its history.
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

// under runs a load with n faults, evenly spread over its acceptances, and returns
// the history. Each process has an acceptance before the first fault, between two
// faults, and after the last one.
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
