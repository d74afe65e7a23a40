package recipes

import (
	"context"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/gorm"
)

// SingleUse returns a Guard for a token endpoint of confidential clients: each
// nonce is accepted once, and every response carries the next one. The nonces
// are sealed: a challenge stores nothing, an accepted request one row.
func SingleUse(ctx context.Context, db *gorm.DB, key dpopnonce.Key) (*dpophttp.Guard, error) {
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{
		Purpose: "https://as.example/token",
		Keys:    []dpopnonce.Key{key}, // the same on all nodes
	})
	if err != nil {
		return nil, err
	}
	nonces, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("as_dpop_nonces"), dpopnonce.WithSealer(sealer))
	if err != nil {
		return nil, err
	}
	if err := nonces.Migrate(ctx); err != nil {
		return nil, err
	}
	go func() { _ = nonces.SweepEvery(ctx, time.Minute) }()
	return &dpophttp.Guard{Nonces: nonces, Proof: proofOf}, nil // SingleUse is the default
}
