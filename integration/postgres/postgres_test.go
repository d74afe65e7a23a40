package postgres

import (
	"database/sql"
	"testing"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	_ "github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func TestConformance(t *testing.T) {
	for name, open := range map[string]func(testing.TB) *gorm.DB{
		"DSN": func(tb testing.TB) *gorm.DB { return dbtest.Open(tb, postgres.Open(dbtest.Postgres(tb))) },
		"existing pool, session in another time zone": func(tb testing.TB) *gorm.DB {
			pool, err := sql.Open("pgx", dbtest.Postgres(tb, "TimeZone=America/New_York"))
			if err != nil {
				tb.Fatal(err)
			}
			return dbtest.Open(tb, postgres.New(postgres.Config{Conn: pool}))
		},
		"PreferSimpleProtocol": func(tb testing.TB) *gorm.DB {
			return dbtest.Open(tb, postgres.New(postgres.Config{DSN: dbtest.Postgres(tb), PreferSimpleProtocol: true}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, open)
		})
	}
}
