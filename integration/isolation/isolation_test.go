// Package isolation runs the suite on MariaDB sessions with other isolation levels
// than the default. The library's own TestPostgres does it for PostgreSQL.
package isolation

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct{ param, variable, want string }{
		"READ COMMITTED":            {"tx_isolation='READ-COMMITTED'", "tx_isolation", "READ-COMMITTED"},
		"SERIALIZABLE":              {"tx_isolation='SERIALIZABLE'", "tx_isolation", "SERIALIZABLE"},
		"innodb_snapshot_isolation": {"innodb_snapshot_isolation=ON", "innodb_snapshot_isolation", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return checked(tb, dbtest.Open(tb, mysql.Open(dbtest.MySQL(tb, c.param))), "SELECT @@"+c.variable, c.want)
			})
		})
	}
}

// checked fails the test unless the setting is in force.
func checked(tb testing.TB, db *gorm.DB, query, want string) *gorm.DB {
	tb.Helper()
	var got string
	if err := db.Raw(query).Row().Scan(&got); err != nil || got != want {
		tb.Fatalf("%s: %q, %v; want %q", query, got, err, want)
	}
	return db
}
