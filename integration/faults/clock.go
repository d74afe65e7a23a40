package main

import (
	"context"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// clocks runs nodes whose clocks differ by up to 30 seconds, with nonces that live
// longer and shorter than that.
func clocks(ctx context.Context, e *env) error {
	p, err := servers.NewPostgres(e.dir)
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Stop()
	for _, c := range []struct {
		name    string
		ttl     time.Duration
		apart   time.Duration // one clock from the next
		expires bool
		store   string
	}{
		{"nonces of 5 min", 5 * time.Minute, 15 * time.Second, false, ""},
		{"nonces of 20 s", 20 * time.Second, 15 * time.Second, true, ""},
		{"nonces of 1 s, clocks that agree", time.Second, 0, true, ""},
		{"the same, " + load.NeverExpires, time.Second, 0, false, load.NeverExpires},
	} {
		configs := workers(3, 16, "postgres", p.DSN())
		for i := range configs {
			configs[i].TTL, configs[i].Store = c.ttl, c.store
			configs[i].Offset = time.Duration(i-1) * c.apart
		}
		if err := migrate(ctx, configs[0]); err != nil {
			return err
		}
		const age = 3 * time.Second // more than the shortest ttl
		h, err := e.under(ctx, configs, 1, func(*load.Load) error { return pause(age)() })
		if err != nil {
			return err
		}
		r, err := e.judge(c.name, h, c.store != "")
		if err != nil {
			return err
		}
		if c.store == "" && c.expires != (r.Expired >= e.acceptances()/50) {
			return fmt.Errorf("%s: %d calls returned ErrExpired", c.name, r.Expired)
		}
	}
	e.printf("\nThree nodes. Unless the clocks agree, the first is 15 s behind and the last 15 s ahead. A nonce expires when the clock of " +
		"the node that judges it reaches the `expires_at` that the issuing node set by its own clock. Between two nodes its life is " +
		"longer or shorter by the difference of their clocks. Either way it is accepted at most once.\n")
	return nil
}
