package main

import (
	"context"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// clocks runs nodes whose clocks differ, with nonces and proofs that live longer and
// shorter than that, and with sweeps by each node's clock.
func clocks(ctx context.Context, e *env) error {
	p, err := servers.StartPostgres(e.dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	sealedAndProofs := []history.Form{history.Sealed, history.Proof}
	for _, c := range []struct {
		name    string
		ttl     time.Duration
		apart   time.Duration // the last clock from the first two
		pause   time.Duration // halfway, for sweeps, and for what has to expire
		expires bool
		store   string
		fail    []history.Form
	}{
		{"15 s apart, 5 min", 5 * time.Minute, 15 * time.Second, 0, false, "", nil},
		{"15 s apart, 10 s", 10 * time.Second, 15 * time.Second, 0, true, "", nil},
		{"4 min apart, 20 s", 20 * time.Second, 4 * time.Minute, 2 * time.Second, true, "", nil},
		{"6 min apart, 20 s", 20 * time.Second, 6 * time.Minute, 2 * time.Second, true, "", sealedAndProofs},
		{"clocks that agree, 1 s", time.Second, 0, 3 * time.Second, true, "", nil},
		{"the same, " + load.NeverExpires, time.Second, 0, 3 * time.Second, false, load.NeverExpires, nil},
	} {
		configs := workers(3, 4, "postgres", p.DSN()) // so few that sweeps keep up
		for i := range configs {
			configs[i].TTL, configs[i].Store, configs[i].Sweep = c.ttl, c.store, 100*time.Millisecond
		}
		configs[2].Offset = c.apart
		if err := migrate(ctx, configs[0]); err != nil {
			return err
		}
		h, err := e.under(ctx, configs, 1, func(*load.Load) error { return pause(c.pause)() })
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.store != "" { // of any form: proofs seldom wait for a second
			if _, err := e.judge(c.name, h, true); err != nil {
				return err
			}
			continue
		}
		r, err := e.judgeForms(c.name, h, c.fail...)
		if err != nil {
			return err
		}
		if c.expires != (r.Expired >= e.acceptances()/50) {
			return fmt.Errorf("%s: %d calls returned ErrExpired", c.name, r.Expired)
		}
	}
	if err := e.stopped(ctx, p, true); err != nil {
		return err
	}
	if err := e.stopped(ctx, p, false); err != nil {
		return err
	}
	e.printf("\nThree nodes, of which the third is ahead, with nonces and proofs of the given life; each node sweeps by its own clock. A nonce expires when the clock of " +
		"the node that judges it reaches the `expires_at` that the issuing node set by its own clock. Between two nodes its life is " +
		"longer or shorter by the difference of their clocks. Within `Tolerance`, 5 minutes, it is accepted at most once; beyond, a node that is ahead sweeps the rows of " +
		"sealed nonces and proofs that others still accept. A stored nonce whose row is swept is refused.\n\n" +
		"Calls that are stopped have read the clock, and stand before their statement, for what others present as well. The clocks of all nodes then move on past the life of all that was " +
		"accepted and `Tolerance`, and its rows are swept before the calls go on. They must find that their time is over, by their own clock, and do not where that stood still.\n")
	return nil
}

// stopped stops the calls of two of four nodes before their statements, until the
// others have accepted what they present and the rows of it are swept.
func (e *env) stopped(ctx context.Context, p *servers.Postgres, moves bool) error {
	const ttl = 20 * time.Second
	configs := workers(4, 32, "postgres", p.DSN())
	for i := range configs {
		configs[i].TTL, configs[i].Timeout = ttl, time.Minute
	}
	configs[3].Sweep = 100 * time.Millisecond
	held := []int{0, 1}
	set := func(l *load.Load, nodes []int, change func(*load.Config)) error {
		for _, i := range nodes {
			if err := l.Configure(ctx, i, change); err != nil {
				return err
			}
		}
		return nil
	}
	passed := ttl + dpopnonce.Tolerance + 5*time.Second
	forward := func(c *load.Config) { c.Offset += passed }
	h, err := e.under(ctx, configs, e.scaled(3, 2), func(l *load.Load) error {
		if err := l.Break(ctx, func() error {
			if err := set(l, held, func(c *load.Config) { c.Hold = true }); err != nil {
				return err
			}
			if err := l.Accept(ctx, 300, held...); err != nil {
				return err
			}
			if moves {
				if err := set(l, held, forward); err != nil {
					return err
				}
			}
			last := time.Now().Add(configs[3].Offset + ttl + dpopnonce.Tolerance)
			if err := set(l, []int{2, 3}, forward); err != nil { // the one that sweeps comes last
				return err
			}
			configs[3].Offset += passed
			return until(ctx, func() (swept bool, err error) {
				err = p.Query(ctx, fmt.Sprintf("SELECT NOT EXISTS (SELECT FROM dpop_nonces WHERE expires_at <= to_timestamp(%d))", last.Unix()), &swept)
				return swept, err
			})
		}); err != nil {
			return err
		}
		if err := set(l, held, func(c *load.Config) { c.Hold = false }); err != nil || moves {
			return err
		}
		if err := l.Settle(ctx); err != nil {
			return err
		}
		return set(l, held, forward)
	})
	if err != nil {
		return err
	}
	if moves {
		_, err = e.judgeForms("calls stopped before their INSERT", h)
	} else {
		_, err = e.judgeForms("the same, by a clock that stands still meanwhile", h, history.Sealed, history.Proof)
	}
	return err
}
