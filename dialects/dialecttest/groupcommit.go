package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// groupCommitCases are about the outcomes of callers that share statements.
// batchCases are about the statements.
var groupCommitCases = []testCase{
	{name: "gives each caller its own outcome", run: sharedOutcomes, needs: groupCommit},
	{name: "judges each limit in shared Consumes", run: judges(24, consuming, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "judges each limit in shared Rotates", run: judges(24, rotating, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "gives each Rotate its own successor", run: sharedSuccessors, needs: groupCommit},
	{name: "a held row delays only its callers", run: heldRow, needs: groupCommit | rowLocks},
	{name: "an ended context fails only its caller", run: sharedEndedContext, needs: groupCommit},
	{name: "shares nothing inside a transaction", run: sharesNothingInTransaction, needs: groupCommit},
}

func sharedOutcomes(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	for round := 0; round < 5; round++ {
		e.clock.Set(noon)
		used, expired, contested := e.issue(t, time.Hour), e.issue(t, time.Second), e.issue(t, time.Hour)
		wantIs(t, e.consume(used), nil)
		own := e.issueMany(t, 64, time.Hour)
		e.clock.Set(noon.Add(2 * time.Second))
		errs := race(128, func(i int) error {
			nonce := fmt.Sprint("unknown-", i)
			switch {
			case i < 64:
				nonce = own[i]
			case i < 80:
				nonce = contested
			case i < 96:
				nonce = used
			case i < 112:
				nonce = expired
			}
			return r.Consume(ctx, nonce, time.Duration(1+i%3)*time.Hour)
		})
		wantAll(t, errs[:64], nil)
		wantOneWinner(t, errs[64:80], dpopnonce.ErrUsed)
		wantAll(t, errs[80:96], dpopnonce.ErrUsed)
		wantAll(t, errs[96:112], dpopnonce.ErrExpired)
		wantAll(t, errs[112:], dpopnonce.ErrUnknown)
	}
}

func sharedSuccessors(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	used := e.issue(t, time.Hour)
	wantIs(t, e.consume(used), nil)
	nexts := make([]string, 128)
	for i, err := range race(len(nexts), func(i int) (err error) {
		presented := used
		if i%4 != 0 {
			if presented, err = r.Issue(ctx, time.Hour); err != nil {
				return err
			}
		}
		nexts[i], err = r.Rotate(ctx, presented, time.Hour)
		return err
	}) {
		if i%4 == 0 {
			wantIs(t, err, dpopnonce.ErrUsed)
		} else {
			wantIs(t, err, nil)
		}
	}
	wantAll(t, race(len(nexts), func(i int) error { return r.Consume(ctx, nexts[i], time.Hour) }), nil)
}

func heldRow(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	nonces := e.issueMany(t, 64, time.Hour)
	holder := e.hold(t, nonces[0])
	// As in production, new nonces sort behind those that are there: at
	// MariaDB's REPEATABLE READ, a wait for a row also locks the gap before it.
	e.clock.Set(noon.Add(time.Second))
	// More callers than plain statements in flight, so that some are sent with
	// others. Each keeps a connection while it waits.
	const waiting = 10
	delayed := make(chan error, waiting)
	for i := 0; i < waiting; i++ {
		go func() { delayed <- r.Consume(ctx, nonces[0], time.Hour) }()
	}
	bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // a caller that is delayed fails here
	defer cancel()
	wantAll(t, race(len(nonces)-1, func(i int) (err error) {
		if i%2 == 0 {
			return r.Consume(bounded, nonces[i+1], time.Hour)
		}
		_, err = r.Rotate(bounded, nonces[i+1], time.Hour)
		return err
	}), nil)
	select {
	case err := <-delayed:
		t.Fatalf("the row is held, and a caller got %v", err)
	default:
	}
	wantIs(t, holder.Commit().Error, nil)
	errs := make([]error, waiting)
	for i := range errs {
		errs[i] = <-delayed
	}
	wantOneWinner(t, errs, dpopnonce.ErrUsed)
}

func sharedEndedContext(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	nonces := e.issueMany(t, 64, time.Hour)
	for i, err := range race(len(nonces), func(i int) error {
		if i%2 == 0 {
			return r.Consume(ended, nonces[i], time.Hour)
		}
		return r.Consume(ctx, nonces[i], time.Hour)
	}) {
		if i%2 == 0 {
			wantFailure(t, err)
			wantIs(t, err, context.Canceled)
		} else {
			wantIs(t, err, nil)
		}
	}
}

func sharesNothingInTransaction(t *testing.T, e *env) {
	shared := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	nonce := e.issue(t, time.Hour)
	for _, in := range []func(func(*gorm.DB) error) error{
		func(fn func(*gorm.DB) error) error { return e.db.Transaction(fn) },
		func(fn func(*gorm.DB) error) error { return e.byHand(t, fn) },
	} {
		wantIs(t, in(func(tx *gorm.DB) error {
			for _, r := range []*dpopnonce.Repository{shared.WithTx(tx), e.repository(t, tx, dpopnonce.WithGroupCommit())} {
				next, err := r.Issue(ctx, time.Hour)
				wantIs(t, err, nil)
				_, err = r.Rotate(ctx, next, time.Hour)
				wantIs(t, err, nil)
			}
			wantIs(t, shared.WithTx(tx).Consume(ctx, nonce, time.Hour), nil)
			return errRollback
		}), errRollback)
		if n := e.rows(t); n != 1 || e.used(t, nonce) {
			t.Fatalf("%d rows after the rollback", n)
		}
	}
	if errors.Is(shared.Consume(ctx, nonce, time.Hour), dpopnonce.ErrRejected) {
		t.Fatal("the nonce is spent after a rollback")
	}
}
