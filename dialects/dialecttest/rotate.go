package dialecttest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var rotateCases = []testCase{
	{name: "returns a successor that lives for ttl", run: rotateReturnsSuccessor},
	{name: "judges each limit as Consume does", run: judges(2, rotating)},
	{name: "sends the UPDATE that accepts last", run: rotateSendsUpdateLast, needs: lockThenUpdate},
	{name: "rejects with a successor", run: rotateRejects},
	{name: "replaces a duplicate successor, consuming once", run: rotateReplacesDuplicate},
	{name: "replaces a duplicate successor after a rejection", run: rejectionReplacesDuplicate},
	{name: "spends nothing without a successor", run: rotateWithoutSuccessor},
	{name: "accepts one of 32, each gets a successor", run: rotateRace},
}

func rotateReturnsSuccessor(t *testing.T, e *env) {
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
}

// rotateSendsUpdateLast is for a server that can roll a transaction back
// unnoticed: a statement after the UPDATE would be a transaction of its own,
// and its commit would succeed although the UPDATE is gone.
func rotateSendsUpdateLast(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	sent := statements(t, e.db)
	_, err := e.Rotate(ctx, nonce, time.Minute)
	wantIs(t, err, nil)
	if all := sent(); len(all) != 2 || !strings.HasPrefix(all[0], "INSERT") || !strings.HasPrefix(all[1], "UPDATE") {
		t.Fatalf("sent %q, want the INSERT of the successor, then the UPDATE", all)
	}
}

func rotateRejects(t *testing.T, e *env) {
	used, expired := e.issue(t, time.Minute), e.issue(t, time.Second)
	wantIs(t, e.consume(used), nil)
	e.clock.Set(noon.Add(time.Second))
	for nonce, reason := range map[string]error{
		used: dpopnonce.ErrUsed, expired: dpopnonce.ErrExpired, "never-issued": dpopnonce.ErrUnknown, "": dpopnonce.ErrMissing,
	} {
		next, err := e.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, reason)
		wantIs(t, err, dpopnonce.ErrRejected)
		wantIs(t, e.consume(next), nil)
	}
	if e.used(t, expired) {
		t.Fatal("the expired nonce was spent")
	}
}

func rotateReplacesDuplicate(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	inserted := e.insertFirst(t, nonce)
	next, err := e.Rotate(ctx, nonce, time.Minute)
	wantIs(t, err, nil)
	if *inserted == "" || next == *inserted {
		t.Fatalf("inserted %q first, successor %q", *inserted, next)
	}
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	wantIs(t, e.consume(next), nil)
}

func rejectionReplacesDuplicate(t *testing.T, e *env) {
	for nonce, reason := range map[string]error{
		"never-issued": dpopnonce.ErrUnknown, "malformed\n": dpopnonce.ErrUnknown, "": dpopnonce.ErrMissing,
	} {
		inserted := e.insertFirst(t, nonce)
		next, err := e.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, reason)
		if *inserted == "" || next == *inserted {
			t.Fatalf("inserted %q first, successor %q", *inserted, next)
		}
		wantIs(t, e.consume(next), nil)
	}
}

func rotateWithoutSuccessor(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	broken := errors.New("broken")
	on := true
	watch(t, e.db, func(tx *gorm.DB) {
		if on && strings.Contains(sqlOf(tx), "INSERT") {
			_ = tx.AddError(broken)
		}
	})
	for _, presented := range []string{nonce, "never-issued", "malformed\n", ""} {
		next, err := e.Rotate(ctx, presented, time.Minute)
		wantFailure(t, err)
		wantIs(t, err, broken)
		if next != "" {
			t.Fatalf("Rotate returned %q", next)
		}
	}
	on = false
	wantIs(t, e.consume(nonce), nil)
}

func rotateRace(t *testing.T, e *env) {
	connect(t, e.db)
	nodes := e.nodes(t)
	for round := 0; round < 10; round++ {
		nonce := e.issue(t, time.Minute)
		var mu sync.Mutex
		successors := map[string]bool{}
		wantOneWinner(t, race(callers, func(i int) error {
			next, err := nodes[i%len(nodes)].Rotate(ctx, nonce, time.Minute)
			mu.Lock()
			defer mu.Unlock()
			successors[next] = true
			return err
		}), dpopnonce.ErrUsed)
		if len(successors) != callers || successors[""] {
			t.Fatalf("%d successors", len(successors))
		}
	}
}
