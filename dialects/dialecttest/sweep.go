package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var sweepCases = []testCase{
	{name: "deletes expired rows only, used or not", run: sweepDeletesExpired},
	{name: "deletes in batches, one statement each", run: sweepInBatches},
	{name: "two sweepers delete each row once", run: twoSweepers},
	{name: "passes over a locked row", run: sweepPassesLockedRow, needs: rowLocks},
	{name: "stops when its context ends", run: sweepStops},
	{name: "SweepEvery logs a failure and goes on", run: sweepEvery},
	{name: "SweepEvery refuses an interval of zero", run: sweepEveryInterval},
}

func (e *env) storeExpired(t *testing.T, n int) {
	t.Helper()
	for i := 0; i < n; i++ {
		e.store(t, fmt.Sprint("expired-", i), noon.Add(-time.Hour), noon.Add(-time.Second))
	}
}

func sweepDeletesExpired(t *testing.T, e *env) {
	for nonce, expires := range map[string]time.Duration{"past": -1, "spent": -1, "now": 0, "next": 1, "live": 60} {
		e.store(t, nonce, noon.Add(-time.Hour), noon.Add(expires*time.Second))
	}
	e.clock.Set(noon.Add(-time.Minute))
	wantIs(t, e.consume("spent"), nil)
	wantIs(t, e.consume("live"), nil)
	e.clock.Set(noon.Add(time.Second - 1))
	deleted, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	if deleted != 2 || e.count(t, "nonce IN ?", []string{"now", "next", "live"}) != 3 || e.rows(t) != 3 {
		t.Fatalf("deleted %d rows", deleted)
	}
	wantIs(t, e.consume("past"), dpopnonce.ErrUnknown)
	wantIs(t, e.consume("now"), dpopnonce.ErrExpired)
	wantIs(t, e.consume("live"), dpopnonce.ErrUsed)
}

func sweepInBatches(t *testing.T, e *env) {
	e.storeExpired(t, 25)
	r := e.repository(t, e.db, dpopnonce.WithSweepBatch(10))
	sent := statements(t, e.db)
	deleted, err := r.Sweep(ctx)
	wantIs(t, err, nil)
	if all := sent(); deleted != 25 || len(all) != 3 {
		t.Fatalf("deleted %d rows by %q", deleted, all)
	}
}

func twoSweepers(t *testing.T, e *env) {
	connect(t, e.db)
	e.storeExpired(t, 100)
	e.store(t, "live", noon, noon.Add(time.Minute))
	r := e.repository(t, e.db, dpopnonce.WithSweepBatch(7))
	deleted := make([]int64, 2)
	wantAll(t, race(2, func(i int) (err error) {
		deleted[i], err = r.Sweep(ctx)
		return err
	}), nil)
	left, err := r.Sweep(ctx) // each passes over the rows that the other holds
	wantIs(t, err, nil)
	if sum := deleted[0] + deleted[1] + left; sum != 100 || e.rows(t) != 1 {
		t.Fatalf("deleted %v and %d, %d rows are left", deleted, left, e.rows(t))
	}
}

func sweepPassesLockedRow(t *testing.T, e *env) {
	e.storeExpired(t, 5)
	holder := e.hold(t, "expired-2")
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // a sweep that waits fails here
	defer cancel()
	deleted, err := e.Sweep(bounded)
	wantIs(t, err, nil)
	if deleted != 4 {
		t.Fatalf("deleted %d rows", deleted)
	}
	wantIs(t, holder.Commit().Error, nil)
	deleted, err = e.Sweep(ctx)
	wantIs(t, err, nil)
	if deleted != 1 {
		t.Fatalf("deleted %d rows", deleted)
	}
}

func sweepStops(t *testing.T, e *env) {
	e.storeExpired(t, 30)
	r := e.repository(t, e.db, dpopnonce.WithSweepBatch(10))
	ending, cancel := context.WithCancel(ctx)
	defer cancel()
	batches := 0
	watch(t, e.db, func(*gorm.DB) {
		if batches++; batches == 2 {
			cancel()
		}
	})
	deleted, err := r.Sweep(ending)
	wantIs(t, err, context.Canceled)
	if left := e.rows(t); deleted < 10 || left > 20 || left == 0 {
		t.Fatalf("deleted %d rows, %d are left", deleted, left)
	}
}

func sweepEvery(t *testing.T, e *env) {
	e.storeExpired(t, 3)
	log := &recorder{}
	r := e.repository(t, e.db.Session(&gorm.Session{Logger: logger.New(log, logger.Config{LogLevel: logger.Error})}))
	ending, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sweeps := 0
	watch(t, e.db, func(tx *gorm.DB) {
		if !strings.Contains(sqlOf(tx), "DELETE") {
			return
		}
		switch sweeps++; sweeps {
		case 1:
			_ = tx.AddError(errors.New("out of order"))
		case 3:
			cancel()
		}
	})
	wantIs(t, r.SweepEvery(ending, time.Millisecond), context.Canceled)
	if left := e.rows(t); left != 0 || sweeps != 3 {
		t.Fatalf("%d rows are left after %d sweeps", left, sweeps)
	}
	if !strings.Contains(log.text(), "dpopnonce: sweep: out of order") {
		t.Fatalf("not logged: %s", log.text())
	}
}

func sweepEveryInterval(t *testing.T, e *env) {
	for _, interval := range []time.Duration{0, -time.Second} {
		if err := e.SweepEvery(ctx, interval); err == nil {
			t.Fatal("no error")
		}
	}
}
