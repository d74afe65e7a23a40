package dpopnonce_test

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

// The rows of two partitions may be at the same place, which is how Sweep finds
// them.
func TestSweepDeletesExpiredRowsOnlyOfAPartitionedTable(t *testing.T) {
	ctx := context.Background()
	db := openSchema(t)
	for _, statement := range []string{
		`CREATE TABLE dpop_nonces (id uuid, nonce varchar(255) NOT NULL UNIQUE, issued_at timestamptz NOT NULL,
			expires_at timestamptz NOT NULL, used_at timestamptz) PARTITION BY HASH (nonce)`,
		`CREATE TABLE even PARTITION OF dpop_nonces FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
		`CREATE TABLE odd PARTITION OF dpop_nonces FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
		`INSERT INTO dpop_nonces SELECT gen_random_uuid(), 'nonce ' || i, now() - interval '1 minute',
			now() + interval '1 minute' * CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END FROM generate_series(1, 100) AS i`,
	} {
		if err := db.Exec(statement).Error; err != nil {
			t.Fatal(err)
		}
	}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithSweepBatch(7))
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := r.Sweep(ctx); err != nil || deleted != 50 {
		t.Errorf("Sweep = %d, %v: want the 50 rows that expired", deleted, err)
	}
	var fresh int64
	if err := db.Model(&dpopnonce.DPoPNonce{}).Where("expires_at > ?", time.Now()).Count(&fresh).Error; err != nil || fresh != 50 {
		t.Errorf("%d fresh rows, %v: want 50", fresh, err)
	}
}
