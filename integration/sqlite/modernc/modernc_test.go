package modernc

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	_ "modernc.org/sqlite"
)

func TestConformance(t *testing.T) {
	for name, params := range map[string]string{
		"recommended":            "&_time_format=sqlite",
		"time as Go's String is": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return dbtest.Open(tb, &sqlite.Dialector{DriverName: "sqlite", DSN: "file:" + dbtest.SQLite(tb) +
					"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate" + params})
			})
		})
	}
}
