package dpopnonce_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
)

// derivedIDs is SQLite with ids that are derived from the nonces, and an INSERT
// that counts no row where either is there.
type derivedIDs struct{ dialects.Dialect }

func (d derivedIDs) SQL() dialects.SQL {
	s := d.Dialect.SQL()
	s.NonceIDs = true
	s.Insert = `
		INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
		VALUES (@id, @nonce, @issued_at, @expires_at, @used_at)
		ON CONFLICT DO NOTHING`
	return s
}

// The first INSERT of a repository may be a replay, which finds a row with the
// id that it would have had.
func TestDerivedIDsAcceptNoReplay(t *testing.T) {
	db := openSQLite(t)
	for i, want := range []error{nil, dpopnonce.ErrReplayed, dpopnonce.ErrReplayed} {
		r, err := dpopnonce.NewRepository(db, dpopnonce.WithDialect(derivedIDs{dialects.SQLite()}))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := r.Spend(context.Background(), "proof", time.Now().Add(time.Minute)); !errors.Is(err, want) {
			t.Errorf("process %d: got %v, want %v", i, err, want)
		}
	}
}

func TestDerivedIDsOfSealedNoncesFollowTime(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "test", Keys: []dpopnonce.Key{dpopnonce.NewKey()}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithDialect(derivedIDs{dialects.SQLite()}), dpopnonce.WithSealer(sealer), dpopnonce.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 20; i++ {
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Consume(ctx, nonce, time.Minute); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
	}
	var byTime, byID []string
	if err := db.Model(&dpopnonce.DPoPNonce{}).Order("issued_at").Pluck("nonce", &byTime).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Model(&dpopnonce.DPoPNonce{}).Order("id").Pluck("nonce", &byID).Error; err != nil {
		t.Fatal(err)
	}
	if len(byTime) != 20 || !slices.Equal(byTime, byID) {
		t.Errorf("by time %q, by id %q", byTime, byID)
	}
}
