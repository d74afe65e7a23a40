package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/postgres"
)

// A duplicate in an index of the application's own says nothing of the nonce.
func TestOtherUniqueIndexIsNoReplay(t *testing.T) {
	ctx := context.Background()
	db := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
	for table, opts := range map[string][]dpopnonce.Option{
		"other_key":        nil,
		"other_key_shared": {dpopnonce.WithGroupCommit()},
	} {
		r, err := dpopnonce.NewRepository(db, append(opts, dpopnonce.WithTable(table))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Exec("DROP TABLE " + table) })
		if err := r.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		if err := db.Exec("CREATE UNIQUE INDEX ON " + table + " (expires_at)").Error; err != nil {
			t.Fatal(err)
		}
		until := time.Now().Add(time.Minute)
		if err := r.Spend(ctx, "first", until); err != nil {
			t.Fatal(err)
		}
		if err := r.Spend(ctx, "first", until); err != dpopnonce.ErrReplayed {
			t.Errorf("%s: the same proof: %v", table, err)
		}
		var duplicate interface{ SQLState() string }
		if err := r.Spend(ctx, "second", until); !errors.As(err, &duplicate) || duplicate.SQLState() != "23505" || errors.Is(err, dpopnonce.ErrReplayed) {
			t.Errorf("%s: another proof: %v", table, err)
		}
	}
}
