package dpopnonce_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
)

// withoutAdvice is SQLite's dialect without the optional fact.
type withoutAdvice struct{ dialects.Dialect }

func (w withoutAdvice) SQL() dialects.SQL {
	s := w.Dialect.SQL()
	s.Unchanged = ""
	return s
}

func TestUnchangedRowNamesCausesOfDialect(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	for dialect, want := range map[dialects.Dialect]string{
		dialects.SQLite():                "in dpop_nonces: look for triggers",
		withoutAdvice{dialects.SQLite()}: "in dpop_nonces",
	} {
		r := withOptions(t, db, dpopnonce.WithDialect(dialect))
		if err := r.Migrate(ctx); err != nil {
			t.Fatal(err)
		}
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Exec("CREATE TRIGGER IF NOT EXISTS act BEFORE UPDATE ON dpop_nonces BEGIN SELECT RAISE(IGNORE); END").Error; err != nil {
			t.Fatal(err)
		}
		if err := r.Consume(ctx, nonce, time.Minute); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want one that ends with %q", err, want)
		}
	}
}
