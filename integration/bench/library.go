package main

import (
	"context"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

const (
	plain       = "dpopnonce"
	sealed      = "dpopnonce, sealed"
	group       = "dpopnonce, group commit"
	sealedGroup = "dpopnonce, sealed, group commit"
)

// library returns the library's stores on one database, and creates its table.
// Group commit changes nothing of a check, and a Sealer is measured where it
// changes most: Issue sends no statement then, and Consume is half of Rotate.
func library(ctx context.Context, db *gorm.DB, opts ...dpopnonce.Option) ([]store, error) {
	r, err := dpopnonce.NewRepository(db, opts...)
	if err != nil {
		return nil, err
	}
	if err := r.Migrate(ctx); err != nil {
		return nil, err
	}
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "bench", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return nil, err
	}
	var stores []store
	for _, l := range []struct {
		name     string
		measured []string
		opts     []dpopnonce.Option
	}{
		{plain, operations, nil},
		{group, []string{"issue", "consume", "rotate", "spend"}, []dpopnonce.Option{dpopnonce.WithGroupCommit()}},
		{sealed, []string{"rotate"}, []dpopnonce.Option{dpopnonce.WithSealer(sealer)}},
		{sealedGroup, []string{"rotate"}, []dpopnonce.Option{dpopnonce.WithSealer(sealer), dpopnonce.WithGroupCommit()}},
	} {
		r, err := dpopnonce.NewRepository(db, append(l.opts, opts...)...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		stores = append(stores, store{
			name:     l.name,
			measured: l.measured,
			issue:    func(ctx context.Context) (string, error) { return r.Issue(ctx, ttl) },
			consume:  func(ctx context.Context, nonce string) error { return r.Consume(ctx, nonce, ttl) },
			check:    func(ctx context.Context, nonce string) error { return r.Check(ctx, nonce, ttl) },
			rotate:   func(ctx context.Context, nonce string) (string, error) { return r.Rotate(ctx, nonce, ttl) },
			spend:    func(ctx context.Context, id string) error { return r.Spend(ctx, id, time.Now().Add(ttl)) },
		})
	}
	return stores, nil
}

// named returns the store of a name.
func named(stores []store, name string) store {
	for _, s := range stores {
		if s.name == name {
			return s
		}
	}
	return store{}
}
