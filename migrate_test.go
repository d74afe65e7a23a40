package dpopnonce_test

import (
	"bytes"
	"context"
	"errors"
	"log"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func TestMigrateShadowsNoTableOfAnotherSchema(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db := openSQLite(t)
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		run(t, db, "ATTACH '"+filepath.Join(t.TempDir(), "shared.db")+"' AS shared")
		wantNoShadow(t, db, "shared")
	})
	t.Run("postgres", func(t *testing.T) {
		first := openSchema(t)
		second := schemaOf(t, first) + "_b"
		run(t, first, "CREATE SCHEMA "+second)
		t.Cleanup(func() { first.Exec("DROP SCHEMA " + second + " CASCADE") })
		db := open(t, postgres.Open(postgresDSN(t)+"&search_path="+schemaOf(t, first)+","+second))
		wantNoShadow(t, db, second)
	})
}

// wantNoShadow has the table in schema, where CREATE TABLE does not look.
func wantNoShadow(t *testing.T, db *gorm.DB, schema string) {
	t.Helper()
	ctx, until := context.Background(), time.Now().Add(time.Minute)
	named := withOptions(t, db, dpopnonce.WithTable(schema+".dpop_nonces"))
	if err := named.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	r := withOptions(t, db)
	if err := r.Spend(ctx, "proof", until); err != nil {
		t.Fatal(err)
	}
	wantNoDDL(t, db, func() {
		if err := r.Migrate(ctx); err == nil || !strings.Contains(err.Error(), "WithTable") {
			t.Errorf("got %v, want an error that names WithTable", err)
		}
	})
	for _, r := range []*dpopnonce.Repository{r, named} {
		if err := r.Spend(ctx, "proof", until); err != dpopnonce.ErrReplayed {
			t.Errorf("got %v, want ErrReplayed", err)
		}
	}
	if err := named.Migrate(ctx); err != nil {
		t.Error(err)
	}
}

func TestMigrateRefusesAView(t *testing.T) {
	onBoth(t, func(t *testing.T, db *gorm.DB) {
		r := migrate(t, db)
		run(t, db, "ALTER TABLE dpop_nonces RENAME TO base", "CREATE VIEW dpop_nonces AS SELECT * FROM base")
		if err := r.Migrate(context.Background()); err == nil || !strings.Contains(err.Error(), "view") {
			t.Errorf("got %v, want an error that names views", err)
		}
	})
}

// SQLite's names are the same in any case.
func TestMigrateFindsATableOfAnotherCase(t *testing.T) {
	db := openSQLite(t)
	migrate(t, db)
	if err := withOptions(t, db, dpopnonce.WithTable("DPoP_nonces")).Migrate(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestMigrateLogsNoErrorOfAnAbsentTable(t *testing.T) {
	onBoth(t, func(t *testing.T, db *gorm.DB) {
		var text bytes.Buffer
		db.Logger = logger.New(log.New(&text, "", 0), logger.Config{LogLevel: logger.Error})
		migrate(t, db)
		if text.Len() > 0 {
			t.Errorf("logged %s", text.String())
		}
	})
}

func TestMigrateLeavesATransactionByHandUsable(t *testing.T) {
	onBoth(t, func(t *testing.T, db *gorm.DB) {
		err := db.Connection(func(conn *gorm.DB) error {
			run(t, conn, "BEGIN")
			migrate(t, conn)
			run(t, conn, "COMMIT")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		exercise(t, db)
	})
}

// GORM's migrator then reads a row that it does not have.
func TestMigrateIgnoresCallbacksThatRefuseItsLookUps(t *testing.T) {
	for name, callback := range map[string]func(*gorm.DB){
		"error":   func(db *gorm.DB) { _ = db.AddError(errors.New("refused")) },
		"dry run": func(db *gorm.DB) { db.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db *gorm.DB) {
				row := db.Callback().Row()
				if err := row.Before("gorm:row").Register("test:refuse", callback); err != nil {
					t.Fatal(err)
				}
				r := withOptions(t, db)
				for run := 0; run < 2; run++ {
					if err := r.Migrate(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				if err := row.Remove("test:refuse"); err != nil {
					t.Fatal(err)
				}
				exercise(t, db)
			})
		})
	}
}
