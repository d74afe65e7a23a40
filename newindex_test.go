package dpopnonce_test

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// SQLite prepares a statement by the connection's copy of the schema.
func TestConnectionsLearnOfANewIndex(t *testing.T) {
	ctx := context.Background()
	dsn := "file:" + t.TempDir() + "/nonces.db?_journal_mode=WAL&_busy_timeout=5000"
	migrator, db := open(t, sqlite.Open(dsn)), open(t, sqlite.Open(dsn))
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	until := time.Now().Add(time.Minute)
	for name, do := range map[string]func(*dpopnonce.Repository) error{
		"issue":  func(r *dpopnonce.Repository) error { _, err := r.Issue(ctx, time.Minute); return err },
		"insert": func(r *dpopnonce.Repository) error { _, err := r.Insert(ctx, valid()); return err },
		"spend":  func(r *dpopnonce.Repository) error { return r.Spend(ctx, "proof", until) },
		"spend in a transaction": func(r *dpopnonce.Repository) error {
			return db.Transaction(func(tx *gorm.DB) error { return r.WithTx(tx).Spend(ctx, "proof", until) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := dpopnonce.NewRepository(db)
			if err != nil {
				t.Fatal(err)
			}
			schema := r.Schema()
			if err := migrator.Exec(schema[0]).Error; err != nil {
				t.Fatal(err)
			}
			var rows int64
			if err := db.Model(&dpopnonce.DPoPNonce{}).Count(&rows).Error; err != nil {
				t.Fatal(err)
			}
			for _, ddl := range schema[1:] {
				if err := migrator.Exec(ddl).Error; err != nil {
					t.Fatal(err)
				}
			}
			if err := do(r); err != nil {
				t.Error(err)
			}
			if err := migrator.Exec("DROP TABLE dpop_nonces").Error; err != nil {
				t.Fatal(err)
			}
		})
	}
}
