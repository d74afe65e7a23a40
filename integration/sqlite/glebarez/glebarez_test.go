package glebarez

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
)

func TestConformance(t *testing.T) {
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
		return dbtest.Open(tb, sqlite.Open("file:"+dbtest.SQLite(tb)+
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate"))
	})
}
