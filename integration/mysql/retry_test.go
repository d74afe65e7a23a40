package mysql

import (
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestLockTimeoutIsRepeated(t *testing.T) {
	ctx := t.Context()
	db := dbtest.Open(t, mysql.Open(dbtest.NewMySQL(t)+"&innodb_lock_wait_timeout=1"))
	r := dbtest.Repository(t, db)
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	holder := db.Begin()
	if err := holder.Exec("SELECT id FROM dpop_nonces WHERE nonce = ? FOR UPDATE", nonce).Error; err != nil {
		t.Fatal(err)
	}
	updates := 0
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:release", func(tx *gorm.DB) {
		if !strings.HasPrefix(tx.Statement.SQL.String(), "UPDATE") {
			return
		}
		if updates++; updates == 2 { // the first one timed out
			if err := holder.Rollback().Error; err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != nil || updates != 2 {
		t.Fatalf("%d updates, %v", updates, err)
	}
}
