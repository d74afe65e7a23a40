package dialecttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// rowCases are about the row of what was accepted: what it says, how long it
// stays, and what happens without it.
var rowCases = []testCase{
	{name: "stores its three instants", run: eachWay(rowColumns)},
	{name: "stores the same in a shared statement", run: eachWay(sharedRowColumns, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "stays for Tolerance past its end", run: eachWay(rowStays)},
	{name: "accepts nothing late after a sweep", run: eachWay(stall)},
	{name: "accepts nothing late in a transaction", run: eachWay(stallInTransaction)},
	{name: "accepts nothing late in a shared statement", run: eachWay(sharedStall, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "accepts what outlives its statement", run: eachWay(slowCall)},
	{name: "accepts nothing twice without the unique index", run: withoutIndex()},
	{name: "shares nothing twice without the unique index", run: withoutIndex(dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "keeps sealed and stored nonces apart", run: formsAreApart},
}

// rowColumns compares with a row of Insert, so that the driver's form of an
// instant does not matter.
func rowColumns(t *testing.T, e *env, w way) {
	what := w.new(t)
	e.clock.Set(noon.Add(10*time.Second + 7))
	rows := e.rows(t)
	wantIs(t, w.present(ctx, w.Repository, what), nil)
	if n := e.rows(t); n != rows+1 {
		t.Fatalf("%d rows more", n-rows)
	}
	e.wantRows(t, w, 1)
}

func sharedRowColumns(t *testing.T, e *env, w way) {
	connect(t, e.db)
	all := w.newMany(t, 64)
	shared := e.sharedINSERTs(t)
	e.clock.Set(noon.Add(10*time.Second + 7))
	wantIs(t, w.present(alone, w.Repository, all[0]), nil)
	wantAll(t, crowd(t, e.db, len(all)-1, func(ctx context.Context, i int) error { return w.present(ctx, w.Repository, all[1+i]) }), nil)
	e.wantRows(t, w, len(all))
	if shared() == 0 {
		t.Fatal("no INSERT was shared")
	}
}

// wantRows fails unless n rows have the instants of what was new at noon and
// was accepted 10 seconds later.
func (e *env) wantRows(t *testing.T, w way, n int) {
	t.Helper()
	at := noon.Add(10 * time.Second)
	issued := noon
	if w.again == dpopnonce.ErrReplayed {
		issued = at // a proof has no other
	}
	columns, accepted := fmt.Sprint("columns-", w.name), fmt.Sprint("accepted-", w.name)
	e.store(t, columns, issued, noon.Add(life+dpopnonce.Tolerance))
	e.store(t, accepted, at, later)
	table := clause.Table{Name: e.table}
	got := e.count(t, `used_at = (SELECT issued_at FROM ? WHERE nonce = ?)
		AND issued_at = (SELECT issued_at FROM ? WHERE nonce = ?)
		AND expires_at = (SELECT expires_at FROM ? WHERE nonce = ?)`,
		table, accepted, table, columns, table, columns)
	if w.name == "Rotate" && got == 2*n {
		got = n // those of Consume are there as well
	}
	if got != n {
		t.Fatalf("%d of %d rows have the instants of DPoPNonce", got, n)
	}
}

// rowStays lets a node sweep whose clock is ahead by all that it may be.
func rowStays(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, w.present(ctx, w.Repository, what), nil)
	last := noon.Add(life - 1) // the last moment at which it is good
	for _, ahead := range []time.Duration{dpopnonce.Tolerance, dpopnonce.Tolerance + time.Second} {
		e.clock.Set(last.Add(ahead))
		deleted, err := e.Sweep(ctx)
		wantIs(t, err, nil)
		if deleted != 0 {
			t.Fatalf("deleted %d rows", deleted)
		}
		e.clock.Set(last)
		wantIs(t, w.present(ctx, w.Repository, what), w.again)
	}
	e.clock.Set(last.Add(dpopnonce.Tolerance + 2*time.Second))
	deleted, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	if deleted != 1 {
		t.Fatalf("deleted %d rows", deleted)
	}
}

// sweptMeanwhile lets the row of an earlier acceptance expire and be swept
// between a caller's judgement and its INSERT, as a machine that is suspended
// does, or between that of many and the INSERT that they share. The function that
// it returns says how many rows were swept.
func (e *env) sweptMeanwhile(t *testing.T, shared bool) (swept func() int64) {
	t.Helper()
	var once sync.Once
	var deleted int64
	watch(t, e.db, func(tx *gorm.DB) {
		if !strings.Contains(sqlOf(tx), "INSERT") || shared && !isShared(tx) {
			return
		}
		once.Do(func() {
			e.clock.Set(noon.Add(life + dpopnonce.Tolerance + time.Second))
			var err error
			if deleted, err = e.WithTx(tx.Session(&gorm.Session{NewDB: true})).Sweep(ctx); err != nil {
				t.Error(err)
			}
		})
	})
	return func() int64 { return deleted }
}

func stall(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, w.present(ctx, w.otherNode(t, e), what), nil)
	swept := e.sweptMeanwhile(t, false)
	wantIs(t, w.present(ctx, w.Repository, what), dpopnonce.ErrExpired)
	if swept() == 0 {
		t.Fatal("nothing was swept")
	}
	wantIs(t, w.present(ctx, w.Repository, what), dpopnonce.ErrExpired)
}

func stallInTransaction(t *testing.T, e *env, w way) {
	what := w.new(t)
	wantIs(t, w.present(ctx, w.otherNode(t, e), what), nil)
	swept := e.sweptMeanwhile(t, false)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, w.present(ctx, w.WithTx(tx), what), dpopnonce.ErrExpired)
		return nil
	}), nil)
	if swept() == 0 {
		t.Fatal("nothing was swept")
	}
}

func sharedStall(t *testing.T, e *env, w way) {
	connect(t, e.db)
	all := w.newMany(t, 64)
	for _, what := range all {
		wantIs(t, w.present(ctx, w.Repository, what), nil)
	}
	swept := e.sweptMeanwhile(t, true)
	for _, err := range crowd(t, e.db, 2*len(all), func(ctx context.Context, i int) error { return w.present(ctx, w.Repository, all[i/2]) }) {
		if err != dpopnonce.ErrExpired {
			wantIs(t, err, w.again) // before the sweep
		}
	}
	if swept() == 0 {
		t.Fatal("nothing was swept")
	}
}

// slowCall moves the clock during the call, to the last second and past it.
func slowCall(t *testing.T, e *env, w way) {
	var done time.Time
	watch(t, e.db, func(*gorm.DB) { e.clock.Set(done) })
	for _, c := range []struct {
		done time.Duration
		want error
	}{{life - 1, nil}, {life, dpopnonce.ErrExpired}} {
		e.clock.Set(noon)
		what := w.new(t)
		done = noon.Add(c.done)
		wantIs(t, w.present(ctx, w.Repository, what), c.want)
		e.clock.Set(noon)
		done = noon
		wantIs(t, w.present(ctx, w.Repository, what), w.again) // its row is there, accepted or not
	}
}

func withoutIndex(opts ...dpopnonce.Option) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		e.dropNonceIndex(t)
		connect(t, e.db)
		eachWay(func(t *testing.T, e *env, w way) {
			nodes := w.nodes(t, e)
			for round := 0; round < 3; round++ {
				what := w.new(t)
				accepted := 0
				for _, err := range race(callers, func(i int) error {
					return w.present(ctx, nodes[i%len(nodes)], what)
				}) {
					switch {
					case err == nil:
						accepted++
					case e.can(insertNeedsIndex):
						wantFailure(t, err)
						wantNames(t, err, e.nonceIndex())
					}
				}
				if accepted > 1 || accepted > 0 && e.can(insertNeedsIndex) {
					t.Fatalf("accepted %d times", accepted)
				}
			}
		}, opts...)(t, e)
	}
}

// formsAreApart stores nothing that another form could be taken for: a proof, a
// sealed nonce and a stored one in one table.
func formsAreApart(t *testing.T, e *env) {
	r := e.sealed(t)
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	stored := e.issue(t, life)
	for _, id := range []string{nonce, stored} { // as proofs
		wantIs(t, r.Spend(ctx, id, noon.Add(life)), nil)
	}
	for _, presented := range []string{nonce, stored} {
		wantIs(t, r.Check(ctx, presented, life), nil)
		wantIs(t, r.Consume(ctx, presented, life), nil)
		wantIs(t, r.Consume(ctx, presented, life), dpopnonce.ErrUsed)
		wantIs(t, r.Spend(ctx, presented, noon.Add(life)), dpopnonce.ErrReplayed)
	}
	if n := e.count(t, "used_at IS NOT NULL"); n != 4 {
		t.Fatalf("%d rows are used", n)
	}
}
