package dialecttest

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var checkCases = []testCase{
	{name: "accepts until expires_at, spending nothing", run: checkUntilExpiresAt},
	{name: "accepts until the first use", run: checkUntilUsed},
	{name: "rejects as unknown, used, expired, in order", run: checkReasons},
	{name: "rejects sooner under a shorter ttl", run: checkShorterTTL},
	{name: "judges each limit, spending nothing", run: judges(2, checking)},
	{name: "judges each limit under group commit", run: judges(8, checking, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "agrees with Consume on each limit", run: judges(2, checkingFirst)},
	{name: "agrees with a shared Consume", run: judges(8, checkingFirst, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "sends one statement, also when it rejects", run: checkSendsOneStatement},
	{name: "reads what was just committed", run: checkReadsCommitted},
	{name: "reads from the primary", run: checkReadsPrimary},
}

func checkUntilExpiresAt(t *testing.T, e *env) {
	nonce := e.issue(t, 10*time.Second)
	wantIs(t, e.check(nonce), nil)
	e.clock.Set(noon.Add(10 * time.Second))
	wantIs(t, e.check(nonce), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(10*time.Second - 1))
	wantIs(t, e.check(nonce), nil)
	wantIs(t, e.check(nonce), nil)
	if e.used(t, nonce) {
		t.Fatal("used_at was written")
	}
	wantIs(t, e.consume(nonce), nil)
}

func checkUntilUsed(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.check(nonce), nil)
	wantIs(t, e.consume(nonce), nil)
	wantIs(t, e.check(nonce), dpopnonce.ErrUsed)
	wantIs(t, e.check(nonce), dpopnonce.ErrRejected)
}

func checkReasons(t *testing.T, e *env) {
	wantIs(t, e.check("never-issued"), dpopnonce.ErrUnknown)
	nonce, expiring := e.issue(t, time.Minute), e.issue(t, time.Minute)
	wantIs(t, e.consume(nonce), nil)
	wantIs(t, e.check(nonce), dpopnonce.ErrUsed)
	e.clock.Set(noon.Add(time.Hour))
	wantIs(t, e.check(nonce), dpopnonce.ErrUsed)
	wantIs(t, e.check(expiring), dpopnonce.ErrExpired)
	wantIs(t, e.check("never-issued"), dpopnonce.ErrUnknown)
}

func checkShorterTTL(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	e.clock.Set(noon.Add(11 * time.Second))
	wantIs(t, e.Check(ctx, nonce, 10*time.Second), dpopnonce.ErrExpired)
	wantIs(t, e.Check(ctx, nonce, 11*time.Second-1), dpopnonce.ErrExpired)
	wantIs(t, e.Check(ctx, nonce, 11*time.Second), nil)
	e.clock.Set(noon.Add(11*time.Second - 1))
	wantIs(t, e.Check(ctx, nonce, 10*time.Second), nil)
	e.clock.Set(noon.Add(time.Minute))
	wantIs(t, e.Check(ctx, nonce, time.Hour), dpopnonce.ErrExpired)
}

func checkSendsOneStatement(t *testing.T, e *env) {
	nonce, used, expired := e.issue(t, time.Minute), e.issue(t, time.Minute), e.issue(t, time.Second)
	wantIs(t, e.consume(used), nil)
	e.clock.Set(noon.Add(time.Second))
	sent := statements(t, e.db)
	for presented, want := range map[string]error{
		nonce: nil, used: dpopnonce.ErrUsed, expired: dpopnonce.ErrExpired, "never-issued": dpopnonce.ErrUnknown,
	} {
		wantIs(t, e.check(presented), want)
		if all := sent(); len(all) != 1 {
			t.Fatalf("want %v: sent %q", want, all)
		}
	}
}

// checkReadsCommitted reads on many connections before and after the nonce is
// used: none of them may keep its first snapshot.
func checkReadsCommitted(t *testing.T, e *env) {
	connect(t, e.db)
	nonce := e.issue(t, time.Minute)
	check := func(int) error { return e.check(nonce) }
	wantAll(t, race(callers, check), nil)
	wantIs(t, e.consume(nonce), nil)
	wantAll(t, race(callers, check), dpopnonce.ErrUsed)
}

// checkReadsPrimary looks for the setting with which gorm.io/plugin/dbresolver
// marks a statement for the primary: its Write sets it.
func checkReadsPrimary(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	reads := 0
	watch(t, e.db, func(tx *gorm.DB) {
		reads++
		if _, primary := tx.Get("gorm:db_resolver:write"); !primary {
			t.Errorf("a replica may get %s", sqlOf(tx))
		}
	})
	wantIs(t, e.check(nonce), nil)
	if reads == 0 {
		t.Fatal("nothing was read")
	}
}
