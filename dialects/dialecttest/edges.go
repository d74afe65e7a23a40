package dialecttest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// edgeCases are about clocks and instants at the edges of what the columns of
// every database hold: the years 1 to 9999.
var edgeCases = []testCase{
	{name: "judges at the edges of time", run: judgesAtEdges},
	{name: "shared calls judge at the edges of time", run: judgesAtEdgesShared, needs: groupCommit},
	{name: "keeps an unending nonce to its ttl", run: neverExpires, needs: otherForms},
}

var (
	firstSecond = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) // the second before it is Go's zero time
	lastSecond  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// edges are times of issue.
var edges = []time.Time{
	firstSecond,
	time.Date(999, 12, 31, 23, 59, 59, 0, time.UTC),
	time.Date(1582, 10, 10, 0, 0, 0, 0, time.UTC),
	time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
	time.Date(2038, 1, 19, 3, 14, 7, 0, time.UTC),
	lastSecond.Add(-time.Minute - time.Second),
	lastSecond.Add(-time.Minute),
}

const longest = time.Duration(math.MaxInt64)

func judgesAtEdges(t *testing.T, e *env) {
	for i, at := range edges {
		e.clock.Set(at)
		spent, rotated, expiring := fmt.Sprint("spent-", i), fmt.Sprint("rotated-", i), fmt.Sprint("expiring-", i)
		for _, nonce := range []string{spent, rotated, expiring} {
			e.store(t, nonce, at, at.Add(time.Minute))
		}
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			r := e.WithTx(tx)
			for _, ttl := range []time.Duration{time.Second, longest} {
				wantIs(t, r.Check(ctx, spent, ttl), nil)
			}
			wantIs(t, r.Consume(ctx, spent, longest), nil)
			wantIs(t, r.Consume(ctx, spent, longest), dpopnonce.ErrUsed)
			next, err := r.Rotate(ctx, rotated, time.Second)
			wantIs(t, err, nil)
			wantIs(t, r.Consume(ctx, next, longest), nil)
			_, err = r.Issue(ctx, time.Minute)
			return err
		}), nil)
		for _, after := range []time.Duration{time.Minute, time.Minute + time.Second, longest} {
			e.clock.Set(at.Add(after))
			for _, ttl := range []time.Duration{time.Second, longest} {
				wantIs(t, e.Check(ctx, expiring, ttl), dpopnonce.ErrExpired)
				wantIs(t, e.Consume(ctx, expiring, ttl), dpopnonce.ErrExpired)
			}
		}
		e.clock.Set(at.Add(time.Minute - time.Second))
		wantIs(t, e.Consume(ctx, expiring, longest), nil)
	}
	e.clock.Set(edges[0].Add(time.Hour))
	deleted, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	if deleted != 5 {
		t.Fatalf("deleted %d rows of the first edge", deleted)
	}
}

func judgesAtEdgesShared(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	for i, at := range edges {
		e.clock.Set(at)
		name := func(n int) string { return fmt.Sprintf("edge-%d-%d", i, n) }
		for n := 0; n < callers; n++ {
			e.store(t, name(n), at, at.Add(time.Minute))
		}
		present := func(n int) error {
			if n%2 == 0 {
				return r.Consume(ctx, name(n), longest)
			}
			return rotate(ctx, r, name(n), time.Second)
		}
		wantAll(t, race(callers, present), nil)
		wantAll(t, race(callers, present), dpopnonce.ErrUsed)
	}
}

func neverExpires(t *testing.T, e *env) {
	e.store(t, "unending", noon, noon.Add(time.Minute))
	e.overwrite(t, "unending", "expires_at", e.unending)
	e.clock.Set(noon.Add(longTTL + time.Second))
	wantIs(t, e.check("unending"), dpopnonce.ErrExpired)
	wantIs(t, e.consume("unending"), dpopnonce.ErrExpired)
	deleted, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	if deleted != 0 {
		t.Fatalf("deleted %d rows", deleted)
	}
	e.clock.Set(noon.Add(longTTL))
	wantIs(t, rotate(ctx, e.Repository, "unending", longTTL), nil)
	wantIs(t, e.consume("unending"), dpopnonce.ErrUsed)
}
