package dialecttest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// batchCases are about the statements that callers share.
var batchCases = []testCase{
	{name: "sends fewer statements than calls", run: fewerStatementsThanCalls, needs: groupCommit},
	{name: "Consumes with rejections share one statement", run: oneStatementPerBatch(consuming), needs: groupCommit | oneStatementRotate},
	{name: "Rotates with rejections share one statement", run: oneStatementPerBatch(rotating), needs: groupCommit | oneStatementRotate},
	{name: "sends the UPDATE that accepts last", run: batchSendsUpdateLast, needs: groupCommit | lockThenUpdate},
}

func fewerStatementsThanCalls(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	sent := statements(t, e.db)
	wantAll(t, race(400, func(int) error {
		_, err := r.Issue(ctx, time.Hour)
		return err
	}), nil)
	if n, rows := len(sent()), e.rows(t); n >= 400 || rows != 400 {
		t.Fatalf("%d statements for %d rows", n, rows)
	}
}

// caller is the key of a caller's number in its context. The context of a
// shared statement has no such number.
type caller struct{}

// oneStatementPerBatch lets calls share statements, a third of them rejected,
// for each of the reasons. All shared statements must have the same SQL: a batch
// that looked for reasons by a further statement would add a second one.
func oneStatementPerBatch(p presenter) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
		connect(t, e.db)
		used, expired := e.issue(t, time.Hour), e.issue(t, time.Second)
		wantIs(t, e.consume(used), nil)
		nonces := e.issueMany(t, 198, time.Hour)
		e.clock.Set(noon.Add(time.Second))
		rejections := []struct {
			nonce  string
			reason error
		}{{used, dpopnonce.ErrUsed}, {expired, dpopnonce.ErrExpired}, {"never-issued", dpopnonce.ErrUnknown}}

		var mu sync.Mutex
		alone := map[any]bool{}
		texts := map[string]bool{}
		watch(t, e.db, func(tx *gorm.DB) {
			mu.Lock()
			defer mu.Unlock()
			if i := tx.Statement.Context.Value(caller{}); i != nil {
				alone[i] = true
			} else {
				texts[sqlOf(tx)] = true
			}
		})
		errs := race(len(nonces), func(i int) error {
			presented := nonces[i]
			if i%3 == 0 {
				presented = rejections[i/3%3].nonce
			}
			return p.present(context.WithValue(ctx, caller{}, i), r, presented, time.Hour)
		})
		shared := 0
		for i, err := range errs {
			if i%3 != 0 {
				wantIs(t, err, nil)
				continue
			}
			wantIs(t, err, rejections[i/3%3].reason)
			if !alone[i] {
				shared++
			}
		}
		if shared == 0 {
			t.Fatal("no rejected call was shared")
		}
		if len(texts) != 1 {
			t.Fatalf("%d different shared statements: %v", len(texts), texts)
		}
	}
}

// batchSendsUpdateLast is rotateSendsUpdateLast for a shared transaction, with
// accepted and rejected calls.
func batchSendsUpdateLast(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	nonces := e.issueMany(t, 128, time.Hour)
	var mu sync.Mutex
	locked, updated := map[gorm.ConnPool]bool{}, map[gorm.ConnPool]bool{}
	watch(t, e.db, func(tx *gorm.DB) {
		mu.Lock()
		defer mu.Unlock()
		pool, sql := tx.Statement.ConnPool, sqlOf(tx)
		if locked[pool] && updated[pool] {
			t.Errorf("after the UPDATE: %s", sql)
		}
		locked[pool] = locked[pool] || strings.Contains(sql, "SKIP LOCKED")
		updated[pool] = updated[pool] || strings.HasPrefix(sql, "UPDATE")
	})
	wantAll(t, race(len(nonces), func(i int) error {
		presented := nonces[i]
		if i%2 == 0 {
			presented = "never-issued" // its reason takes a statement
		}
		_, err := r.Rotate(ctx, presented, time.Hour)
		if errors.Is(err, dpopnonce.ErrUnknown) && i%2 == 0 {
			return nil
		}
		return err
	}), nil)
	for pool := range locked {
		if locked[pool] && updated[pool] {
			return
		}
	}
	t.Fatal("no call was shared")
}
