package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/faults/load"
)

// lostReply loses the reply to one call of each kind after its commit.
func (e *env) lostReply(ctx context.Context, n *network, direct string) error {
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "https://as.example/token", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return err
	}
	open := func(dsn string) (stored, sealed *dpopnonce.Repository, closeIt func() error, err error) {
		stored, db, err := load.Config{Driver: "postgres", DSN: dsn, Callers: 1}.Repository()
		if err != nil {
			return nil, nil, nil, err
		}
		pool, err := db.DB()
		if err != nil {
			return nil, nil, nil, err
		}
		sealed, err = dpopnonce.NewRepository(db, dpopnonce.WithSealer(sealer))
		return stored, sealed, pool.Close, err
	}
	stored, sealed, closeIt, err := open(n.dsn)
	if err != nil {
		return err
	}
	defer closeIt()
	_, beside, closeOther, err := open(direct)
	if err != nil {
		return err
	}
	defer closeOther()

	until := time.Now().Add(time.Minute)
	consume := func(r *dpopnonce.Repository) func(string) error {
		return func(nonce string) error { return r.Consume(ctx, nonce, time.Minute) }
	}
	rotate := func(r *dpopnonce.Repository) func(string) error {
		return func(nonce string) error {
			_, err := r.Rotate(ctx, nonce, time.Minute)
			return err
		}
	}
	spend := func(r *dpopnonce.Repository) func(string) error {
		return func(id string) error { return r.Spend(ctx, id, until) }
	}
	issue := func(r *dpopnonce.Repository) func() (string, error) {
		return func() (string, error) { return r.Issue(ctx, time.Minute) }
	}
	e.printf("\nThe reply to one call is lost after its commit.\n\n| call | its error | the error of the next call with the same |\n|---|---|---|\n")
	for _, c := range []struct {
		name        string
		new         func() (string, error)
		call, again func(string) error
		want        error
	}{
		{"Consume", issue(stored), consume(stored), consume(beside), dpopnonce.ErrUsed},
		{"Rotate", issue(stored), rotate(stored), consume(beside), dpopnonce.ErrUsed},
		{"Consume, sealed", issue(sealed), consume(sealed), consume(beside), dpopnonce.ErrUsed},
		{"Rotate, sealed", issue(sealed), rotate(sealed), consume(beside), dpopnonce.ErrUsed},
		{"Spend", func() (string, error) { return rand.Text(), nil }, spend(stored), spend(beside), dpopnonce.ErrReplayed},
	} {
		var lost, after error
		for range 10 { // the driver pings a connection that was idle for a second, and may lose that reply instead
			if lost, after, err = n.lose(ctx, c.new, c.call, c.again); err != nil {
				return err
			}
			if after != nil {
				break
			}
		}
		e.printf("| %s | %v | %v |\n", c.name, lost, after)
		if lost == nil || errors.Is(lost, dpopnonce.ErrRejected) || errors.Is(lost, dpopnonce.ErrReplayed) {
			return fmt.Errorf("a lost reply: %w, want an error that is not an answer", lost)
		}
		if !errors.Is(after, c.want) {
			return fmt.Errorf("after a lost reply: %w, want %w", after, c.want)
		}
	}
	return nil
}

// lose loses the reply to a call, and makes the next one with the same nonce or
// proof.
func (n *network) lose(ctx context.Context, issue func() (string, error), call, again func(string) error) (lost, after, err error) {
	for range 2 { // connects, prepares the statement, and has a connection that was used just now
		before, err := issue()
		if err != nil {
			return nil, nil, err
		}
		if err := call(before); err != nil {
			return nil, nil, err
		}
	}
	what, err := issue()
	if err != nil {
		return nil, nil, err
	}
	err = n.with(ctx, loseReplies, func() error {
		lost = call(what)
		return nil
	})
	return lost, again(what), err
}
