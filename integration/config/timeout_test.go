package config

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

// GORM's own timeout ends a statement that was sent. On MariaDB that statement may
// have spent the nonce, and a repetition would return ErrUsed.
func TestContextTimeoutIsNotRepeated(t *testing.T) {
	ctx := context.Background()
	db := dbtest.Open(t, mysql.Open(dbtest.NewMySQL(t)), &gorm.Config{PrepareStmt: true, DefaultContextTimeout: 100 * time.Millisecond})
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	held := db.WithContext(longer(t)).Begin()
	if err := held.Exec("SELECT id FROM dpop_nonces WHERE nonce = ? FOR UPDATE", nonce).Error; err != nil {
		t.Fatal(err)
	}
	updates := 0
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:count", func(tx *gorm.DB) {
		if strings.HasPrefix(tx.Statement.SQL.String(), "UPDATE") {
			updates++
		}
	}); err != nil {
		t.Fatal(err)
	}
	err = r.Consume(ctx, nonce, time.Hour)
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, dpopnonce.ErrRejected) || updates != 1 {
		t.Errorf("%d updates, %v", updates, err)
	}
	if err := held.Rollback().Error; err != nil {
		t.Fatal(err)
	}
}

// longer returns a context with a deadline, so that GORM adds none.
func longer(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
