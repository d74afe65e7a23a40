// Package recipes puts the Guard of dpophttp into servers of many kinds. Each
// file is one recipe, to be copied; application.go and proof.go stand for what
// the application has already.
package recipes

import (
	"context"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/gorm"
)

// Window returns a Guard for resource servers and public clients: a nonce is
// accepted until it expires, each proof once, whatever the number of nodes. A
// challenge stores nothing, an accepted request one row, until a node sweeps it.
//
// All nodes have the same key: dpopnonce.ParseKey reads it from where passwords
// are kept.
func Window(ctx context.Context, db *gorm.DB, key dpopnonce.Key) (*dpophttp.Guard, error) {
	nonces, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{
		Purpose: "https://api.example", // another one for each origin
		Keys:    []dpopnonce.Key{key},
	})
	if err != nil {
		return nil, err
	}
	proofs, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("dpop_proofs"), dpopnonce.WithGroupCommit())
	if err != nil {
		return nil, err
	}
	if err := proofs.Migrate(ctx); err != nil {
		return nil, err
	}
	go func() { _ = proofs.SweepEvery(ctx, time.Minute) }() // until ctx ends; failures are in GORM's log
	return &dpophttp.Guard{
		Nonces: nonces,
		Policy: dpophttp.Window,
		Proofs: proofs,
		Proof:  proofOf,
		Algs:   "ES256 EdDSA",
	}, nil
}
