// Package resolver uses the library with gorm.io/plugin/dbresolver.
package resolver

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"
)

// The replica has the table but no row: a call that reads it finds no nonce.
func TestReplicaIsNeverRead(t *testing.T) {
	for name, server := range map[string]func(*testing.T, string) gorm.Dialector{
		"sqlite": func(t *testing.T, _ string) gorm.Dialector {
			return sqlite.Open("file:" + dbtest.SQLite(t) + "?_journal_mode=WAL&_busy_timeout=10000")
		},
		"postgres": func(t *testing.T, role string) gorm.Dialector {
			admin := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
			schema := role + dbtest.Name(t)
			if err := admin.Exec("CREATE SCHEMA " + schema).Error; err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { admin.Exec("DROP SCHEMA " + schema + " CASCADE") })
			return postgres.Open(dbtest.Postgres(t, "search_path="+schema))
		},
	} {
		for _, prepare := range []bool{false, true} {
			for setup, register := range map[string]func(source, replica gorm.Dialector) *dbresolver.DBResolver{
				"replica": func(_, replica gorm.Dialector) *dbresolver.DBResolver {
					return dbresolver.Register(dbresolver.Config{Replicas: []gorm.Dialector{replica}})
				},
				"source and replica": func(source, replica gorm.Dialector) *dbresolver.DBResolver {
					return dbresolver.Register(dbresolver.Config{Sources: []gorm.Dialector{source}, Replicas: []gorm.Dialector{replica}})
				},
				"source for this table": func(source, replica gorm.Dialector) *dbresolver.DBResolver {
					return dbresolver.Register(dbresolver.Config{
						Sources: []gorm.Dialector{source}, Replicas: []gorm.Dialector{replica}}, "dpop_nonces")
				},
			} {
				t.Run(name+"/"+setup+map[bool]string{true: ", PrepareStmt"}[prepare], func(t *testing.T) {
					first, source, replica := server(t, "f"), server(t, "s"), server(t, "r")
					dbtest.Repository(t, dbtest.Open(t, replica))
					db := dbtest.Open(t, first, &gorm.Config{PrepareStmt: prepare})
					if err := db.Use(register(source, replica)); err != nil {
						t.Fatal(err)
					}
					exercise(t, dbtest.Repository(t, db), db)
				})
			}
		}
	}
}

func exercise(t *testing.T, r *dpopnonce.Repository, db *gorm.DB) {
	t.Helper()
	ctx := t.Context()
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(ctx, nonce, time.Minute); err != nil {
		t.Fatalf("Check = %v", err)
	}
	next, err := r.Rotate(ctx, nonce, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != dpopnonce.ErrUsed {
		t.Fatalf("Consume = %v, want ErrUsed", err)
	}
	if _, err := r.Rotate(ctx, nonce, time.Minute); err != dpopnonce.ErrUsed {
		t.Fatalf("Rotate = %v, want ErrUsed", err)
	}
	if err := r.Consume(ctx, next, time.Minute); err != nil {
		t.Fatal(err)
	}
	issued, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Table("dpop_nonces").Clauses(dbresolver.Write).Transaction(func(tx *gorm.DB) error {
		return r.WithTx(tx).Consume(ctx, issued, time.Minute)
	})
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := r.Sweep(ctx); deleted != 0 || err != nil {
		t.Fatalf("Sweep = %d, %v", deleted, err)
	}
}
