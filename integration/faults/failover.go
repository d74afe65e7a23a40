package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// failover kills the primary of a pair, promotes the standby, and makes the other
// server the new standby, several times. With an asynchronous standby that lags
// it does so once, and the checker has to find violations, of sealed nonces unless
// all keys are replaced.
func failover(ctx context.Context, e *env) error {
	for _, f := range []failing{
		{name: "synchronous standby", times: e.scaled(10, 1), synchronous: true},
		{name: "asynchronous standby that lags", times: 1, fail: []history.Form{history.Stored, history.Sealed, history.Proof}},
		{name: "the same, all keys replaced", times: 1, keys: []load.Key{2}, fail: []history.Form{history.Stored, history.Proof}},
	} {
		if err := e.failover(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	e.printf("\nThe application's DSN names both hosts, with `target_session_attrs=read-write`. " +
		"A promoted standby serves without a standby of its own until the next one has caught up, and is not killed before. " +
		"Where all keys are replaced, all nodes have the new ones, and no call from before is under way, when the standby is promoted: no sealed nonce is accepted twice. " +
		"Stored nonces and proofs are, as they have no keys.\n")
	return nil
}

// A failing is a pair that fails over.
type failing struct {
	name        string
	times       int
	synchronous bool
	keys        []load.Key     // in place of all others before the promotion, unless nil
	fail        []history.Form // has to be accepted twice
}

func (e *env) failover(ctx context.Context, f failing) error {
	pair, err := newPair(ctx, e.dir, f.synchronous)
	if err != nil {
		return err
	}
	defer pair.primary.Stop()
	defer pair.standby.Stop()
	configs := workers(2, 32, "postgres", servers.DSNOfPair(pair.primary, pair.standby))
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	h, err := e.under(ctx, configs, f.times, func(l *load.Load) error {
		if !f.synchronous {
			if err := pair.lag(ctx, l); err != nil {
				return err
			}
		}
		if err := l.Break(ctx, pair.primary.Kill); err != nil {
			return err
		}
		if f.keys != nil {
			for i := range configs {
				if err := l.Configure(ctx, i, func(c *load.Config) { c.Keys = f.keys }); err != nil {
					return err
				}
			}
			if err := l.Settle(ctx); err != nil {
				return err
			}
		}
		if err := pair.promote(ctx); err != nil {
			return err
		}
		if !f.synchronous {
			return nil
		}
		if err := l.Accept(ctx, 100); err != nil { // by the new primary without a standby
			return err
		}
		return pair.restore(ctx)
	})
	if err != nil {
		return err
	}
	_, err = e.judgeForms(f.name, h, f.fail...)
	return err
}

// A pair is a primary and its standby, which swap roles at each failover.
type pair struct {
	primary, standby *servers.Postgres
	synchronous      bool
}

// newPair starts a pair, on two hosts if there are any.
func newPair(ctx context.Context, dir string, synchronous bool, hosts ...servers.Host) (*pair, error) {
	primary, err := servers.NewPostgres(dir)
	if err != nil {
		return nil, err
	}
	standby, err := servers.NewStandby(dir)
	if err != nil {
		return nil, err
	}
	if hosts != nil {
		if err := errors.Join(primary.MoveTo(hosts[0]), standby.MoveTo(hosts[1])); err != nil {
			return nil, err
		}
	}
	if err := primary.Start(); err != nil {
		return nil, err
	}
	p := &pair{primary, standby, synchronous}
	if err := p.join(ctx); err != nil {
		p.primary.Stop()
		p.standby.Stop()
		return nil, err
	}
	return p, nil
}

// join makes the standby a copy of the primary and waits until it has caught up.
func (p *pair) join(ctx context.Context) error {
	if err := p.standby.CopyFrom(p.primary); err != nil {
		return err
	}
	if err := p.standby.Start(); err != nil {
		return err
	}
	state := "async"
	if p.synchronous {
		state = "sync"
		if err := p.primary.Set(ctx, "synchronous_standby_names", "*"); err != nil {
			return err
		}
	}
	return until(ctx, func() (bool, error) {
		var inStep bool
		err := p.primary.Query(ctx, `SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '`+
			state+`' AND flush_lsn >= pg_current_wal_flush_lsn() - 1048576)`, &inStep)
		return inStep, err
	})
}

// promote makes the standby the primary.
func (p *pair) promote(ctx context.Context) error {
	p.primary, p.standby = p.standby, p.primary
	var promoted bool
	if err := p.primary.Query(ctx, "SELECT pg_promote()", &promoted); err != nil || !promoted {
		return fmt.Errorf("promote: %v, %w", promoted, err)
	}
	return p.primary.Set(ctx, "synchronous_standby_names", "")
}

// restore makes the killed server the standby and waits until it has everything
// that was committed without it.
func (p *pair) restore(ctx context.Context) error {
	if err := p.join(ctx); err != nil {
		return err
	}
	var lsn string
	if err := p.primary.Query(ctx, "SELECT pg_current_wal_flush_lsn()::text", &lsn); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		var there bool
		err := p.primary.Query(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE flush_lsn >= '"+lsn+"'::pg_lsn)", &there)
		return there, err
	})
}

// lag disconnects the standby and lets the primary accept more nonces.
func (p *pair) lag(ctx context.Context, l *load.Load) error {
	if err := p.standby.Set(ctx, "primary_conninfo", ""); err != nil {
		return err
	}
	if err := until(ctx, func() (bool, error) {
		var following int
		err := p.primary.Query(ctx, "SELECT count(*) FROM pg_stat_replication", &following)
		return following == 0, err
	}); err != nil {
		return err
	}
	return l.Accept(ctx, 600)
}

// patience is how long until waits.
const patience = 90 * time.Second

// until waits until the condition holds.
func until(ctx context.Context, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := condition()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the condition does not hold after %v", patience), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
