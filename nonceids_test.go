package dpopnonce_test

import (
	"context"
	"errors"
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
