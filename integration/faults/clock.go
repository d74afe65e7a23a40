package main

import (
	"context"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// clocks lets nodes disagree about the time by up to 30 seconds, with nonces
// that live for little more, and for less.
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
		name string
		ttl  time.Duration
	}{{"nonces of 45 s", 45 * time.Second}, {"nonces of 20 s", 20 * time.Second}} {
		configs := workers(3, 16, "postgres", p.DSN())
		for i := range configs {
			configs[i].TTL = c.ttl
			configs[i].Offset = time.Duration(i-1) * 15 * time.Second
		}
		if err := migrate(ctx, configs[0]); err != nil {
			return err
		}
		ops, err := e.under(configs, 0, nil)
		if err != nil {
			return err
		}
		if err := e.judge(c.name, ops, nil, false); err != nil {
			return err
		}
	}
	e.printf("\nThree nodes, whose clocks are 15 s behind, right, and 15 s ahead. A nonce ends when the clock of the node that is " +
		"asked reaches the `expires_at` that the clock of the node that issued it has set: between two nodes its life is " +
		"longer or shorter by the difference of their clocks, and it is accepted once in any case.\n")
	return nil
}
