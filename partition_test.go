package dpopnonce_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// partitioned opens a table whose rows are in two partitions, each with a row
// at the same place as one of the other. Those of i % 2 = 1 have expired.
func partitioned(t *testing.T) *gorm.DB {
	t.Helper()
	db := openSchema(t)
	for _, statement := range []string{
		`CREATE TABLE dpop_nonces (id uuid, nonce varchar(255) NOT NULL UNIQUE, issued_at timestamptz NOT NULL,
			expires_at timestamptz NOT NULL, used_at timestamptz) PARTITION BY HASH (nonce)`,
		`CREATE TABLE even PARTITION OF dpop_nonces FOR VALUES WITH (MODULUS 2, REMAINDER 0)`,
		`CREATE TABLE odd PARTITION OF dpop_nonces FOR VALUES WITH (MODULUS 2, REMAINDER 1)`,
		`INSERT INTO dpop_nonces SELECT gen_random_uuid(), 'nonce-' || i, now() - interval '1 minute',
			now() + interval '1 minute' * CASE WHEN i % 2 = 0 THEN 1 ELSE -1 END FROM generate_series(1, 100) AS i`,
	} {
		if err := db.Exec(statement).Error; err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func TestSweepOfPartitionsDeletesExpiredRowsOnly(t *testing.T) {
	ctx := context.Background()
	db := partitioned(t)
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithSweepBatch(7))
	if err != nil {
		t.Fatal(err)
	}
	if deleted, err := r.Sweep(ctx); err != nil || deleted != 50 {
		t.Errorf("Sweep = %d, %v: want the 50 rows that expired", deleted, err)
	}
	var left int64
	if err := db.Model(&dpopnonce.DPoPNonce{}).Where("expires_at > ?", time.Now()).Count(&left).Error; err != nil || left != 50 {
		t.Errorf("%d rows that have not expired, %v: want 50", left, err)
	}
}

func TestSweepOfPartitionsPassesOverHeldRows(t *testing.T) {
	bounded, cancel := context.WithTimeout(context.Background(), 30*time.Second) // a sweep that waits fails here
	defer cancel()
	db := partitioned(t)
	if err := db.Exec("UPDATE dpop_nonces SET expires_at = now() - interval '1 minute'").Error; err != nil {
		t.Fatal(err)
	}
	holder := db.Begin()
	defer holder.Rollback()
	var held int64
	if err := holder.Raw("SELECT count(*) FROM (SELECT FROM even WHERE expires_at < now() FOR UPDATE) AS rows").Scan(&held).Error; err != nil {
		t.Fatal(err)
	}
	deleted, err := withOptions(t, db).Sweep(bounded)
	if err != nil || deleted != 100-held || held == 0 {
		t.Errorf("Sweep = %d, %v while %d rows are held", deleted, err, held)
	}
}

func TestSharedStatementsLeaveOtherPartitionsAlone(t *testing.T) {
	ctx := context.Background()
	db := partitioned(t)
	if err := db.Exec("UPDATE dpop_nonces SET expires_at = now() + interval '1 hour'").Error; err != nil {
		t.Fatal(err)
	}
	// Only half of the rows are presented, all of one partition.
	var presented []string
	if err := db.Raw("SELECT nonce FROM even").Scan(&presented).Error; err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithGroupCommit())
	if err != nil {
		t.Fatal(err)
	}
	const callers = 4 // of each nonce
	errs := make([]error, callers*len(presented))
	var done sync.WaitGroup
	for i := range errs {
		done.Add(1)
		go func(i int) {
			defer done.Done()
			errs[i] = r.Consume(ctx, presented[i%len(presented)], time.Hour)
		}(i)
	}
	done.Wait()
	accepted := 0
	for _, err := range errs {
		if err == nil {
			accepted++
		} else if !errors.Is(err, dpopnonce.ErrUsed) {
			t.Fatal(err)
		}
	}
	var inEven, inOdd int
	if err := db.Raw("SELECT (SELECT count(used_at) FROM even), (SELECT count(used_at) FROM odd)").Row().Scan(&inEven, &inOdd); err != nil {
		t.Fatal(err)
	}
	if accepted != len(presented) || inEven != len(presented) || inOdd != 0 {
		t.Errorf("%d accepted of %d, used: %d and %d of the other partition", accepted, len(presented), inEven, inOdd)
	}
}
