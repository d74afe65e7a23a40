package dialecttest

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var rotateCases = []testCase{
	{name: "spends the nonce and returns a successor that is good for the ttl", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		next, err := e.Rotate(ctx, nonce, 10*time.Second)
		wantIs(t, err, nil)
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
		if next == nonce || !urlSafe.MatchString(next) {
			t.Fatalf("successor %q", next)
		}
		e.clock.Set(noon.Add(10 * time.Second))
		wantIs(t, e.consume(next), dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(10*time.Second - 1))
		wantIs(t, e.consume(next), nil)
	}},
	judgedCase("judges as Consume does, to the second and to the byte", nil, 2, rotating),
	{name: "the UPDATE that accepts is the last statement of its transaction",
		needs: onMySQL, run: func(t *testing.T, e *env) {
			sent := statements(t, e.db)
			_, err := e.Rotate(ctx, e.issue(t, time.Minute), time.Minute)
			wantIs(t, err, nil)
			if all := sent(); !strings.HasPrefix(all[len(all)-1], "UPDATE") {
				t.Fatal(all)
			}
		}},
	{name: "every rejection comes with a fresh successor", run: func(t *testing.T, e *env) {
		used, expired := e.issue(t, time.Minute), e.issue(t, time.Second)
		wantIs(t, e.consume(used), nil)
		e.clock.Set(noon.Add(time.Second))
		presented := map[string]error{used: dpopnonce.ErrUsed, expired: dpopnonce.ErrExpired, "never-issued": dpopnonce.ErrUnknown}
		for _, malformed := range malformedNonces {
			presented[malformed] = reasonOf(malformed)
		}
		for nonce, reason := range presented {
			next, err := e.Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, reason)
			wantIs(t, err, dpopnonce.ErrRejected)
			wantIs(t, e.consume(next), nil)
		}
		if e.used(t, expired) {
			t.Fatal("the expired nonce was spent")
		}
	}},
	{name: "a successor that is taken is minted again and the consume runs once", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		taken := e.takeSuccessor(t, nonce)
		next, err := e.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		if *taken == "" || next == *taken {
			t.Fatalf("took %q, successor %q", *taken, next)
		}
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
		wantIs(t, e.consume(next), nil)
	}},
	{name: "a successor that is taken on a rejection is minted again", run: func(t *testing.T, e *env) {
		for _, nonce := range []string{"never-issued", ""} {
			taken := e.takeSuccessor(t, nonce)
			next, err := e.Rotate(ctx, nonce, time.Minute)
			wantIs(t, err, reasonOf(nonce))
			if *taken == "" || next == *taken {
				t.Fatalf("took %q, successor %q", *taken, next)
			}
			wantIs(t, e.consume(next), nil)
		}
	}},
	{name: "a failure to store the successor spends nothing", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		broken := errors.New("broken")
		on := true
		watch(t, e.db, func(tx *gorm.DB) {
			if on && strings.Contains(tx.Statement.SQL.String(), "INSERT") {
				_ = tx.AddError(broken)
			}
		})
		for _, presented := range []string{nonce, "never-issued", ""} {
			next, err := e.Rotate(ctx, presented, time.Minute)
			wantFailure(t, err)
			wantIs(t, err, broken)
			if next != "" {
				t.Fatalf("a successor: %q", next)
			}
		}
		on = false
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "of many rotations of one nonce one succeeds and each has a successor of its own", run: func(t *testing.T, e *env) {
		connect(t, e.db)
		for n := 0; n < 10; n++ {
			nonce := e.issue(t, time.Minute)
			var mu sync.Mutex
			successors := map[string]bool{}
			wins := 0
			for _, err := range race(callers, func(int) error {
				next, err := e.Rotate(ctx, nonce, time.Minute)
				mu.Lock()
				defer mu.Unlock()
				successors[next] = true
				return err
			}) {
				if err == nil {
					wins++
					continue
				}
				wantIs(t, err, dpopnonce.ErrUsed)
			}
			if wins != 1 || len(successors) != callers || successors[""] {
				t.Fatalf("%d rotations succeeded, %d successors", wins, len(successors))
			}
		}
	}},
}

var uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

// takeSuccessor inserts the nonce that the next INSERT binds right before it,
// on the same connection, and returns where it can be read. presented is the
// other nonce that the statement may bind.
func (e *env) takeSuccessor(t *testing.T, presented string) *string {
	t.Helper()
	taken := new(string)
	watch(t, e.db, func(tx *gorm.DB) {
		if *taken != "" || !strings.Contains(tx.Statement.SQL.String(), "INSERT") {
			return
		}
		for _, v := range tx.Statement.Vars {
			if s, ok := v.(string); ok && s != presented && urlSafe.MatchString(s) && !uuidText.MatchString(s) {
				*taken = s
			}
		}
		layout := "2006-01-02 15:04:05"
		if !onMySQL(e.has) {
			layout += "+00:00"
		}
		err := tx.Session(&gorm.Session{NewDB: true}).Exec(
			"INSERT INTO ? (id, nonce, issued_at, expires_at) VALUES (?, ?, ?, ?)", clause.Table{Name: e.table},
			"018f0000-0000-7000-8000-00000000000"+string(rune('0'+len(presented)%10)), *taken,
			noon.Format(layout), noon.Add(time.Minute).Format(layout)).Error
		if err != nil {
			t.Error(err)
		}
	})
	return taken
}
