package dialecttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var consumeCases = []testCase{
	{name: "rejects as unknown, used, expired, in order", run: consumeReasons},
	{name: "judges each limit to second and byte", run: judges(2, consuming)},
	{name: "rejects an expired nonce without spending it", run: consumeKeepsExpired},
	{name: "spends nothing when its context has ended", run: consumeEndedContext},
	{name: "accepts once when its context ends meanwhile", run: consumeEndingContext},
	{name: "accepts nothing twice without the unique index", run: consumeWithoutIndex},
}

func consumeReasons(t *testing.T, e *env) {
	wantIs(t, e.consume("never-issued"), dpopnonce.ErrUnknown)
	nonce, expiring := e.issue(t, time.Minute), e.issue(t, time.Minute)
	wantIs(t, e.consume(nonce), nil)
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	e.clock.Set(noon.Add(time.Hour))
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	wantIs(t, e.consume(expiring), dpopnonce.ErrExpired)
	wantIs(t, e.consume("never-issued"), dpopnonce.ErrUnknown)
}

func consumeKeepsExpired(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	e.clock.Set(noon.Add(time.Minute))
	wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
	if e.used(t, nonce) {
		t.Fatal("used_at was written")
	}
}

func consumeEndedContext(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	next, rotated := e.Rotate(ended, nonce, time.Minute)
	for _, err := range []error{e.Consume(ended, nonce, time.Minute), e.Check(ended, nonce, time.Minute), rotated} {
		wantFailure(t, err)
		wantIs(t, err, context.Canceled)
	}
	if next != "" {
		t.Fatalf("Rotate returned %q", next)
	}
	if e.used(t, nonce) {
		t.Fatal("the nonce was spent")
	}
	wantIs(t, e.consume(nonce), nil)
}

func consumeEndingContext(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	ending, cancel := context.WithCancel(ctx)
	watch(t, e.db, func(*gorm.DB) { cancel() })
	err := e.Consume(ending, nonce, time.Minute)
	wantFailure(t, err)
	wantIs(t, err, context.Canceled)
	accepted := 0
	for i := 0; i < 2; i++ {
		if e.consume(nonce) == nil {
			accepted++
		}
	}
	if accepted > 1 {
		t.Fatal("accepted twice")
	}
}

// consumeWithoutIndex stores one nonce in two rows, which a table without its
// unique index allows.
func consumeWithoutIndex(t *testing.T, e *env) {
	e.store(t, "twice", noon, noon.Add(time.Minute))
	e.dropNonceIndex(t)
	if e.can(insertNeedsIndex) {
		_, issued := e.repository(t, e.db).Issue(ctx, time.Minute)
		_, inserted := e.Insert(ctx, changeset("new", noon, noon.Add(time.Minute)))
		for _, err := range []error{issued, inserted} {
			wantFailure(t, err)
			wantNames(t, err, e.nonceIndex())
		}
	}
	table := clause.Table{Name: e.table}
	wantIs(t, e.exec(`INSERT INTO ? (id, nonce, issued_at, expires_at)
		SELECT '018f0000-0000-7000-8000-000000000001', nonce, issued_at, expires_at FROM ?`, table, table), nil)
	nodes := e.nodes(t)
	for _, err := range race(4, func(i int) error { return nodes[i].Consume(ctx, "twice", longTTL) }) {
		if err == nil {
			t.Fatal("accepted")
		}
		if errors.Is(err, dpopnonce.ErrRejected) { // after the call that spent both rows
			wantIs(t, err, dpopnonce.ErrUsed)
			continue
		}
		wantNames(t, err, e.nonceIndex())
	}
}
