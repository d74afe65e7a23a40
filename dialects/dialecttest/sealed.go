package dialecttest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// sealedCases are about what a repository sends for sealed nonces and proofs, in
// which order it refuses, and what Rotate returns.
var sealedCases = []testCase{
	{name: "issues without a statement, checks in one", run: sealedStatements},
	{name: "accepts or rejects in one statement", run: eachWay(acceptStatements)},
	{name: "replays leave the others their share", run: eachWay(replaysShare, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "issues while the database is closed", run: sealedClosed},
	{name: "refuses in order", run: sealedOrder},
	{name: "gives every Rotate a successor of its form", run: sealedSuccessors},
	{name: "spends nothing without a successor", run: sealedWithoutSuccessor},
	{name: "logs no nonce, id or expected error", run: eachWay(acceptLogs)},
	{name: "logs none under group commit", run: eachWay(acceptLogs, dpopnonce.WithGroupCommit()), needs: groupCommit},
}

// purpose is what the suite's sealed nonces are for.
const purpose = "https://as.example/token"

func newSealer(t testing.TB, purpose string, keys ...dpopnonce.Key) *dpopnonce.Sealer {
	t.Helper()
	s, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: purpose, Keys: keys})
	wantIs(t, err, nil)
	return s
}

// suiteKey is the key of all repositories that sealed returns.
var suiteKey = dpopnonce.NewKey()

// sealed returns a repository on the case's table that issues sealed nonces, as
// a node of its own.
func (e *env) sealed(t testing.TB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	t.Helper()
	return e.repository(t, e.db, append(opts, dpopnonce.WithSealer(newSealer(t, purpose, suiteKey)))...)
}

func endedContext() (context.Context, context.CancelFunc) {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return ended, cancel
}

func isSealed(nonce string) bool { return len(nonce) == 60 && nonce[0] == 's' }

func sealedStatements(t *testing.T, e *env) {
	r := e.sealed(t)
	sent := statements(t, e.db)
	nonce, err := r.Issue(ctx, life)
	wantSent(t, sent, 0, err, nil)
	if !isSealed(nonce) {
		t.Fatalf("issued %q", nonce)
	}
	wantSent(t, sent, 1, r.Check(ctx, nonce, life), nil)
	wantSent(t, sent, 1, r.Check(ctx, nonce, life), nil)
	wantIs(t, r.Consume(ctx, nonce, life), nil)
	sent()
	wantSent(t, sent, 1, r.Check(ctx, nonce, life), dpopnonce.ErrUsed)
}

// acceptStatements lets the clock's second change meanwhile, for which nothing
// more is sent.
func acceptStatements(t *testing.T, e *env, w way) {
	wantIs(t, w.present(ctx, w.Repository, w.new(t)), nil)
	what := w.new(t)
	sent := statements(t, e.db)
	watch(t, e.db, func(*gorm.DB) { e.clock.Set(noon.Add(time.Second)) })
	for _, want := range []error{nil, w.again, w.again} {
		e.clock.Set(noon)
		wantSent(t, sent, 1, w.present(ctx, w.Repository, what), want)
	}
}

// replaysShare presents two replays for each that is good, one of which comes
// often. What is good must go with others.
func replaysShare(t *testing.T, e *env, w way) {
	connect(t, e.db)
	const each = 80
	good, used := w.newMany(t, each), w.newMany(t, each)
	wantAll(t, race(each, func(i int) error { return w.present(ctx, w.Repository, used[i]) }), nil)
	var alone atomic.Int64
	watch(t, e.db, func(tx *gorm.DB) {
		if i, ok := tx.Statement.Context.Value(caller{}).(int); ok && i%3 == 0 {
			alone.Add(1)
		}
	})
	for i, err := range crowd(t, e.db, 3*each, func(ctx context.Context, i int) error {
		what, ctx := used[0], context.WithValue(ctx, caller{}, i)
		switch i % 3 {
		case 0:
			what = good[i/3]
		case 1:
			what = used[i/3]
		}
		return w.present(ctx, w.Repository, what)
	}) {
		want := w.again
		if i%3 == 0 {
			want = nil
		}
		wantIs(t, err, want)
	}
	if n := alone.Load(); n > each/2 {
		t.Fatalf("%d of %d went alone", n, each)
	}
}

// closed is a driver that connects to nothing.
type closed struct{}

var errClosed = errors.New("closed by the case")

func (closed) Connect(context.Context) (driver.Conn, error) { return nil, errClosed }
func (closed) Driver() driver.Driver                        { return nil }

func sealedClosed(t *testing.T, e *env) {
	db := e.db.Session(&gorm.Session{Context: ctx})
	db.Statement.ConnPool = sql.OpenDB(closed{})
	r := e.repository(t, db, dpopnonce.WithSealer(newSealer(t, purpose, suiteKey)))
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	for presented, want := range map[string]error{
		"": dpopnonce.ErrMissing, "mal formed": dpopnonce.ErrUnknown, forge(nonce): dpopnonce.ErrUnknown,
	} {
		next, err := r.Rotate(ctx, presented, life)
		wantIs(t, err, want)
		wantIs(t, e.sealed(t).Consume(ctx, next, life), nil)
	}
	next, rotated := r.Rotate(ctx, nonce, life)
	for _, err := range []error{r.Check(ctx, nonce, life), r.Consume(ctx, nonce, life), rotated, r.Spend(ctx, "proof", noon.Add(life))} {
		wantFailure(t, err)
		wantIs(t, err, errClosed)
	}
	if next != "" {
		t.Fatalf("Rotate returned %q", next)
	}
	wantIs(t, e.sealed(t).Consume(ctx, nonce, life), nil)
}

// sealedOrder gives calls several reasons to refuse, and takes away the first one
// by one.
func sealedOrder(t *testing.T, e *env) {
	r := e.sealed(t)
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	expired, err := r.Issue(ctx, time.Second)
	wantIs(t, err, nil)
	wantIs(t, r.Consume(ctx, expired, life), nil)
	e.clock.Set(noon.Add(time.Second))
	broken := r.WithTx(nil)
	ended, cancel := endedContext()
	defer cancel()
	sent := statements(t, e.db)
	for _, presented := range []string{"", "mal formed", forge(nonce), expired, nonce} {
		for _, p := range []presenter{checking, consuming, rotating} {
			wantIs(t, p.present(ended, broken, presented, time.Second-1), dpopnonce.ErrTTL)
			wantFailure(t, p.present(ended, broken, presented, life))
		}
	}
	_, issued := broken.Issue(ended, time.Second-1)
	wantIs(t, issued, dpopnonce.ErrTTL)
	_, issued = broken.Issue(ended, life)
	wantFailure(t, issued)
	for presented, want := range map[string]error{
		"": dpopnonce.ErrMissing, "mal formed": dpopnonce.ErrUnknown, forge(nonce): dpopnonce.ErrUnknown,
		expired: dpopnonce.ErrExpired, nonce: context.Canceled,
	} {
		for _, p := range []presenter{checking, consuming, rotating} {
			wantIs(t, p.present(ended, r, presented, life), want)
		}
	}
	// A proof: its arguments, the transaction, until, the context.
	var invalid *dpopnonce.ValidationError
	if err := broken.Spend(ended, "", noon); !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	err = broken.Spend(ended, "proof", noon)
	wantFailure(t, err)
	wantIs(t, r.Spend(ended, "proof", noon), dpopnonce.ErrExpired)
	wantIs(t, r.Spend(ended, "proof", noon.Add(life)), context.Canceled)
	wantNoStatement(t, sent)
	wantIs(t, r.Consume(ctx, nonce, life), nil)
}

func acceptLogs(t *testing.T, e *env, w way) {
	connect(t, e.db)
	log := &recorder{}
	db := e.db.Session(&gorm.Session{Logger: logger.New(log, logger.Config{LogLevel: logger.Info})})
	r := w.onDB(t, e, db)
	all := w.newMany(t, 48)
	var texts []string
	for i, err := range race(3*len(all), func(i int) error { return w.present(ctx, r, all[i/3]) }) {
		if err != nil {
			wantIs(t, err, w.again)
			texts = append(texts, fmt.Sprint(i, err))
		}
	}
	// At a higher isolation level what fails to serialize is repeated.
	if log.failures > 0 {
		t.Errorf("%d errors in the log:\n%s", log.failures, log.text())
	}
	e.clock.Set(noon.Add(life))
	texts = append(texts, fmt.Sprint(w.present(ctx, r, all[0]), log.text()))
	printed := strings.Join(texts, "\n")
	for _, what := range all {
		if strings.Contains(printed, what) || strings.Contains(printed, stored(what)) {
			t.Fatalf("%s is in\n%s", what, printed)
		}
	}
	if !strings.Contains(log.text(), e.table) {
		t.Error("the statements are not in the application's log")
	}
}
