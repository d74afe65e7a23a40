package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

func groupCommit(f features) bool { return f.groupCommit }

var groupCases = []testCase{
	{name: "callers who share statements each have their own outcome", needs: groupCommit, run: func(t *testing.T, e *env) {
		r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
		connect(t, e.db)
		for round := 0; round < 5; round++ {
			e.clock.Set(noon)
			used, expired, contested := e.issue(t, time.Hour), e.issue(t, time.Second), e.issue(t, time.Hour)
			wantIs(t, e.consume(used), nil)
			var own []string
			for i := 0; i < 64; i++ {
				own = append(own, e.issue(t, time.Hour))
			}
			e.clock.Set(noon.Add(2 * time.Second))
			winners := 0
			for i, err := range race(128, func(i int) error {
				ttl := time.Duration(1+i%3) * time.Hour
				switch {
				case i < 64:
					return r.Consume(ctx, own[i], ttl)
				case i < 80:
					return r.Consume(ctx, contested, ttl)
				case i < 96:
					return r.Consume(ctx, used, ttl)
				case i < 112:
					return r.Consume(ctx, expired, ttl)
				default:
					return r.Consume(ctx, fmt.Sprint("unknown-", i), ttl)
				}
			}) {
				switch {
				case i < 64:
					wantIs(t, err, nil)
				case i < 80 && err == nil:
					winners++
				case i < 96:
					wantIs(t, err, dpopnonce.ErrUsed)
				case i < 112:
					wantIs(t, err, dpopnonce.ErrExpired)
				default:
					wantIs(t, err, dpopnonce.ErrUnknown)
				}
			}
			if winners != 1 {
				t.Fatalf("%d callers won one nonce", winners)
			}
		}
	}},
	judgedCase("shared consumes are judged to the second and to the byte", groupCommit, 24, consuming, dpopnonce.WithGroupCommit()),
	judgedCase("shared rotations are judged to the second and to the byte", groupCommit, 24, rotating, dpopnonce.WithGroupCommit()),
	{name: "the UPDATE that accepts is the last statement of a shared transaction",
		needs: func(f features) bool { return f.groupCommit && onMySQL(f) },
		run: func(t *testing.T, e *env) {
			r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
			connect(t, e.db)
			nonces := make([]string, 128)
			for i := range nonces {
				nonces[i] = e.issue(t, time.Hour)
			}
			var mu sync.Mutex
			locked, updated := map[gorm.ConnPool]bool{}, map[gorm.ConnPool]bool{}
			watch(t, e.db, func(tx *gorm.DB) {
				mu.Lock()
				defer mu.Unlock()
				pool, sql := tx.Statement.ConnPool, tx.Statement.SQL.String()
				if locked[pool] && updated[pool] {
					t.Errorf("after the UPDATE: %s", sql)
				}
				locked[pool] = locked[pool] || strings.Contains(sql, "SKIP LOCKED")
				updated[pool] = updated[pool] || strings.HasPrefix(sql, "UPDATE")
			})
			for _, err := range race(len(nonces), func(i int) error {
				presented := nonces[i]
				if i%2 == 0 {
					presented = "never-issued" // its reason is asked for
				}
				_, err := r.Rotate(ctx, presented, time.Hour)
				if errors.Is(err, dpopnonce.ErrUnknown) && i%2 == 0 {
					return nil
				}
				return err
			}) {
				wantIs(t, err, nil)
			}
			for pool := range locked {
				if locked[pool] && updated[pool] {
					return
				}
			}
			t.Fatal("nothing was shared")
		}},
	{name: "rotations that share statements each have a successor of their own", needs: groupCommit, run: func(t *testing.T, e *env) {
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
		for _, err := range race(len(nexts), func(i int) error { return r.Consume(ctx, nexts[i], time.Hour) }) {
			wantIs(t, err, nil)
		}
	}},
	{name: "concurrent calls take fewer statements than calls", needs: groupCommit, run: func(t *testing.T, e *env) {
		r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
		connect(t, e.db)
		sent := statements(t, e.db)
		for _, err := range race(400, func(int) error { _, err := r.Issue(ctx, time.Hour); return err }) {
			wantIs(t, err, nil)
		}
		if all := sent(); len(all) >= 400 || e.count(t, "1 = 1") != 400 {
			t.Fatalf("%d statements for %d rows", len(all), e.count(t, "1 = 1"))
		}
	}},
	{name: "a row that another transaction holds delays only who presents it",
		needs: func(f features) bool { return f.groupCommit && f.rowLocks },
		run: func(t *testing.T, e *env) {
			r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
			connect(t, e.db)
			nonces := make([]string, 64)
			for i := range nonces {
				nonces[i] = e.issue(t, time.Hour)
			}
			holder := e.hold(t, nonces[0])
			// As in life, new nonces sort behind those that are there: who waits for a
			// row at MariaDB's REPEATABLE READ waits for the gap before it, too.
			e.clock.Set(noon.Add(time.Second))
			bounded, cancel := context.WithTimeout(ctx, 30*time.Second) // who is delayed fails here
			defer cancel()
			// More than plain statements in flight, so that some are sent with others;
			// each of them keeps a connection for as long as it waits.
			const presenters = 10
			delayed := make(chan error, presenters)
			for i := 0; i < presenters; i++ {
				go func() { delayed <- r.Consume(ctx, nonces[0], time.Hour) }()
			}
			for i, err := range race(len(nonces)-1, func(i int) (err error) {
				if i%2 == 0 {
					return r.Consume(bounded, nonces[i+1], time.Hour)
				}
				_, err = r.Rotate(bounded, nonces[i+1], time.Hour)
				return err
			}) {
				if err != nil {
					t.Fatalf("caller %d: %v", i, err)
				}
			}
			select {
			case err := <-delayed:
				t.Fatalf("the row is held, and its caller got %v", err)
			default:
			}
			wantIs(t, holder.Commit().Error, nil)
			winners := 0
			for i := 0; i < presenters; i++ {
				if err := <-delayed; err == nil {
					winners++
				} else {
					wantIs(t, err, dpopnonce.ErrUsed)
				}
			}
			if winners != 1 {
				t.Fatalf("%d callers won the row that was held", winners)
			}
		}},
	{name: "callers whose context ended get its error and the others their outcome", needs: groupCommit, run: func(t *testing.T, e *env) {
		r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
		connect(t, e.db)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		nonces := make([]string, 64)
		for i := range nonces {
			nonces[i] = e.issue(t, time.Hour)
		}
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
	}},
	{name: "nothing is shared inside a transaction", needs: groupCommit, run: func(t *testing.T, e *env) {
		r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
		nonce := e.issue(t, time.Hour)
		for _, in := range []func(func(*gorm.DB) error) error{
			func(fn func(*gorm.DB) error) error { return e.db.Transaction(fn) },
			func(fn func(*gorm.DB) error) error {
				return e.db.Connection(func(conn *gorm.DB) error {
					wantIs(t, conn.Exec("BEGIN").Error, nil)
					err := fn(conn)
					wantIs(t, conn.Exec("ROLLBACK").Error, nil)
					return err
				})
			},
		} {
			wantIs(t, in(func(tx *gorm.DB) error {
				for _, r := range []*dpopnonce.Repository{r.WithTx(tx), e.repository(t, tx, dpopnonce.WithGroupCommit())} {
					next, err := r.Issue(ctx, time.Hour)
					wantIs(t, err, nil)
					_, err = r.Rotate(ctx, next, time.Hour)
					wantIs(t, err, nil)
				}
				wantIs(t, r.WithTx(tx).Consume(ctx, nonce, time.Hour), nil)
				return errRollback
			}), errRollback)
			if n := e.count(t, "1 = 1"); n != 1 || e.used(t, nonce) {
				t.Fatalf("%d rows after the rollback", n)
			}
		}
		if errors.Is(r.Consume(ctx, nonce, time.Hour), dpopnonce.ErrRejected) {
			t.Fatal("spent by a rollback")
		}
	}},
}
