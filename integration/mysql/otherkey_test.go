package mysql

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	driver "github.com/go-sql-driver/mysql"
)

// A duplicate in an index of the application's own says nothing of the nonce.
func TestOtherUniqueIndexIsNoReplay(t *testing.T) {
	ctx := context.Background()
	db := openDatabase(t)
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("CREATE UNIQUE INDEX dpop_nonces_expires_at_key ON dpop_nonces (expires_at)").Error; err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Minute)
	if err := r.Spend(ctx, "first", until); err != nil {
		t.Fatal(err)
	}
	if err := r.Spend(ctx, "first", until); err != dpopnonce.ErrReplayed {
		t.Errorf("the same proof: %v", err)
	}
	var duplicate *driver.MySQLError
	if err := r.Spend(ctx, "second", until); !errors.As(err, &duplicate) || duplicate.Number != 1062 || errors.Is(err, dpopnonce.ErrReplayed) {
		t.Errorf("another proof: %v", err)
	}
}
