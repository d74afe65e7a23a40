package integration

import (
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func TestMySQL(t *testing.T) {
	dsn := mysqlDSN(t)
	dialecttest.Run(t, func(tb testing.TB) *gorm.DB { return open(tb, mysql.Open(dsn)) })
}
