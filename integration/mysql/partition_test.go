package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
)

// MariaDB has the column of the partitions in every unique key, which then
// refuses no second row of a proof that comes with another instant.
func TestTablePartitionedByInstantAcceptsNoProof(t *testing.T) {
	ctx := context.Background()
	for _, column := range []string{"issued_at", "expires_at"} {
		t.Run(column, func(t *testing.T) {
			table := dbtest.Name(t)
			db := dbtest.Open(t, mysql.Open(dbtest.MySQL(t)))
			open(t, table, dbtest.MySQL(t))
			index := dialects.Table{Name: table}.NonceIndex()
			for _, statement := range []string{
				"DROP INDEX " + index + " ON " + table,
				"ALTER TABLE " + table + " DROP PRIMARY KEY, ADD PRIMARY KEY (id, " + column + ")",
				"CREATE UNIQUE INDEX " + index + " ON " + table + " (nonce, " + column + ")",
				"ALTER TABLE " + table + " PARTITION BY RANGE COLUMNS(" + column + ") (PARTITION p0 VALUES LESS THAN ('2026-11-01'), PARTITION p1 VALUES LESS THAN (MAXVALUE))",
			} {
				exec(t, db, statement)
			}
			for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
				r, err := dpopnonce.NewRepository(db, append(opts, dpopnonce.WithTable(table))...)
				if err != nil {
					t.Fatal(err)
				}
				until := time.Now().Add(time.Minute)
				for i := range 3 {
					err := r.Spend(ctx, fmt.Sprint("proof ", len(opts)), until.Add(time.Duration(4*i)*time.Second))
					if err == nil || i == 0 && !strings.Contains(err.Error(), "unique index on nonce alone") {
						t.Errorf("got %v", err)
					}
				}
				nonce, err := r.Issue(ctx, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if err := r.Consume(ctx, nonce, time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
