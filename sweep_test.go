package dpopnonce_test

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

func TestSweepPausesAsLongAsItWorks(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	const rows = 600
	if err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO dpop_nonces (id, nonce, issued_at, expires_at)
		SELECT i, i, '2020-01-01 00:00:00+00:00', '2020-01-01 00:00:01+00:00' FROM n`, rows).Error; err != nil {
		t.Fatal(err)
	}
	var began, ended []time.Time
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:begin", func(*gorm.DB) {
		began = append(began, time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Callback().Raw().After("gorm:raw").Register("test:end", func(*gorm.DB) {
		ended = append(ended, time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	if deleted, err := r.Sweep(ctx); err != nil || deleted != rows || len(began) != 3 {
		t.Fatal(deleted, len(began), err)
	}
	for i := range began[1:] {
		if worked, paused := ended[i].Sub(began[i]), began[i+1].Sub(ended[i]); paused < worked {
			t.Errorf("batch %d took %v, the pause %v", i+1, worked, paused)
		}
	}
}
