// Package isolation runs the suite on sessions whose default isolation is not
// MariaDB's. Its cases race 32 callers for one nonce and let 32 callers rotate
// their own, outside and inside transactions. PostgreSQL's levels are in the
// library's own TestPostgres.
package isolation

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestMariaDB(t *testing.T) {
	for name, c := range map[string]struct{ param, variable, want string }{
		"READ COMMITTED":            {"tx_isolation='READ-COMMITTED'", "tx_isolation", "READ-COMMITTED"},
		"SERIALIZABLE":              {"tx_isolation='SERIALIZABLE'", "tx_isolation", "SERIALIZABLE"},
		"innodb_snapshot_isolation": {"innodb_snapshot_isolation=ON", "innodb_snapshot_isolation", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return checked(tb, dbtest.Open(tb, mysql.Open(dbtest.MySQL(tb, c.param))), "SELECT @@"+c.variable, c.want)
			})
		})
	}
}

// checked fails unless the setting is in force.
func checked(tb testing.TB, db *gorm.DB, query, want string) *gorm.DB {
	tb.Helper()
	var got string
	if err := db.Raw(query).Row().Scan(&got); err != nil || got != want {
		tb.Fatalf("%s: %q, %v; want %q", query, got, err, want)
	}
	return db
}
