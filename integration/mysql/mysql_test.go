package mysql

import (
	"testing"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestConformance(t *testing.T) {
	for name, params := range map[string][]string{
		"parseTime":                          {"parseTime=true", "loc=UTC"},
		"without parseTime, clientFoundRows": {"parseTime=false", "clientFoundRows=true"},
		"other loc, interpolateParams":       {"loc=America/New_York", "interpolateParams=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
				return dbtest.Open(tb, mysql.Open(dbtest.MySQL(tb, params...)))
			})
		})
	}
}

func TestConformanceWithGroupCommit(t *testing.T) {
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
		return dbtest.Open(tb, mysql.Open(dbtest.MySQL(tb)))
	}, dpopnonce.WithGroupCommit())
}
