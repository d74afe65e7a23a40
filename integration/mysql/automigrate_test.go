package mysql

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestAutoMigrateOnMariaDB(t *testing.T) {
	for name, create := range map[string]func(*gorm.DB, *dpopnonce.Repository) error{
		"creates usable table":         func(db *gorm.DB, _ *dpopnonce.Repository) error { return db.AutoMigrate(&dpopnonce.DPoPNonce{}) },
		"alters nothing after Migrate": func(_ *gorm.DB, r *dpopnonce.Repository) error { return r.Migrate(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			db := openDatabase(t)
			r, err := dpopnonce.NewRepository(db)
			if err != nil {
				t.Fatal(err)
			}
			if err := create(db, r); err != nil {
				t.Fatal(err)
			}
			err = db.Callback().Raw().Before("gorm:raw").Register("test:ddl", func(tx *gorm.DB) {
				sql := strings.TrimSpace(tx.Statement.SQL.String())
				for _, ddl := range []string{"ALTER", "CREATE", "DROP"} {
					if strings.HasPrefix(sql, ddl) {
						t.Errorf("sent %s", sql)
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.AutoMigrate(&dpopnonce.DPoPNonce{}); err != nil {
				t.Fatal(err)
			}
			if err := r.Migrate(ctx); err != nil {
				t.Fatal(err)
			}
			row := dpopnonce.DPoPNonce{Nonce: "created", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)}
			if err := db.Create(&row).Error; err != nil {
				t.Fatal(err)
			}
			if err := r.Consume(ctx, "CREATED", time.Minute); err != dpopnonce.ErrUnknown {
				t.Fatalf("in another letter case: got %v", err)
			}
			if err := r.Consume(ctx, "created", time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := r.Consume(ctx, "created", time.Minute); err != dpopnonce.ErrUsed {
				t.Fatalf("got %v", err)
			}
		})
	}
}

// openDatabase opens MariaDB with a new database for the default table.
func openDatabase(t *testing.T) *gorm.DB {
	t.Helper()
	return dbtest.Open(t, mysql.Open(dbtest.NewMySQL(t)))
}
