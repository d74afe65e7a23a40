package mattn

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func TestConformance(t *testing.T) {
	for name, params := range map[string]string{
		"recommended":      "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate",
		"driver defaults":  "",
		"rollback journal": "?_journal_mode=DELETE&_busy_timeout=10000",
		"no busy timeout":  "?_journal_mode=WAL&_busy_timeout=0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return dbtest.Open(tb, sqlite.Open("file:"+dbtest.SQLite(tb)+params))
			})
		})
	}
}

func TestConformanceInMemory(t *testing.T) {
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
		db := dbtest.Open(tb, sqlite.Open(":memory:"))
		pool, err := db.DB()
		if err != nil {
			tb.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		return db
	})
}
