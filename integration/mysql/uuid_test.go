package mysql

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

// MariaDB's uuid type refuses some ids that RFC 9562 allows.
func TestSpendsEveryProofWithAUUIDColumn(t *testing.T) {
	ctx := context.Background()
	db := openDatabase(t)
	if err := db.AutoMigrate(&dpopnonce.DPoPNonce{}); err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(8)
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Minute)
	each(t, 400, func(i int) error { return r.Spend(ctx, fmt.Sprint("proof ", i), until) })
}
