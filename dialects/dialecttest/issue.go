package dialecttest

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var issueCases = []testCase{
	{name: "stores a nonce that is accepted once", run: issueIsAcceptedOnce},
	{name: "returns URL-safe nonces that differ", run: issueDiffers},
	{name: "replaces a duplicate nonce", run: issueReplacesDuplicate},
	{name: "replaces a duplicate nonce after many calls", run: issueReplacesLateDuplicate},
	{name: "leaves earlier nonces acceptable", run: issueLeavesEarlierNonces},
	{name: "refuses a ttl under one second", run: shortTTL},
	{name: "accepts the longest ttl", run: longestTTL},
	{name: "floors fractions of a ttl", run: fractionOfTTL},
}

func issueIsAcceptedOnce(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	wantIs(t, e.Consume(ctx, nonce, time.Minute), nil)
	wantIs(t, e.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
	wantIs(t, e.Consume(ctx, nonce, time.Minute), dpopnonce.ErrRejected)
}

var urlSafe = regexp.MustCompile(`^[A-Za-z0-9._~-]{34,64}$`)

func issueDiffers(t *testing.T, e *env) {
	seen := map[string]bool{}
	for i := 0; i < 20; i++ {
		nonce := e.issue(t, time.Minute)
		if !urlSafe.MatchString(nonce) || seen[nonce] {
			t.Fatalf("nonce %q after %d others", nonce, len(seen))
		}
		seen[nonce] = true
	}
}

func issueReplacesDuplicate(t *testing.T, e *env) {
	inserted := e.insertFirst(t, "")
	nonce := e.issue(t, time.Minute)
	if *inserted == "" || nonce == *inserted {
		t.Fatalf("inserted %q first, issued %q", *inserted, nonce)
	}
	wantIs(t, e.consume(nonce), nil)
	wantIs(t, e.consume(*inserted), nil)
}

func issueReplacesLateDuplicate(t *testing.T, e *env) {
	wantAll(t, race(callers, func(int) (err error) {
		for i := 0; i < 32 && err == nil; i++ {
			_, err = e.Issue(ctx, time.Minute)
		}
		return err
	}), nil)
	issueReplacesDuplicate(t, e)
}

func issueLeavesEarlierNonces(t *testing.T, e *env) {
	first := e.issue(t, time.Minute)
	e.issue(t, time.Minute)
	wantIs(t, e.consume(first), nil)
}

func shortTTL(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	sent := statements(t, e.db)
	for _, ttl := range []time.Duration{math.MinInt64, -time.Second, 0, time.Second - 1} {
		_, err := e.Issue(ctx, ttl)
		wantIs(t, err, dpopnonce.ErrTTL)
		for _, presented := range []string{nonce, "", "malformed\n", "unknown"} {
			next, rotated := e.Rotate(ctx, presented, ttl)
			for _, err := range []error{e.Check(ctx, presented, ttl), e.Consume(ctx, presented, ttl), rotated} {
				wantIs(t, err, dpopnonce.ErrTTL)
				wantFailure(t, err)
			}
			if next != "" {
				t.Fatalf("Rotate returned %q", next)
			}
		}
	}
	wantNoStatement(t, sent)
	wantIs(t, e.consume(nonce), nil)
}

func longestTTL(t *testing.T, e *env) {
	nonce := e.issue(t, longest)
	wantIs(t, e.Check(ctx, nonce, longest), nil)
	next, err := e.Rotate(ctx, nonce, longest)
	wantIs(t, err, nil)
	wantIs(t, e.Consume(ctx, next, longest), nil)
}

func fractionOfTTL(t *testing.T, e *env) {
	nonce := e.issue(t, 2*time.Second-1)
	e.clock.Set(noon.Add(time.Second))
	wantIs(t, e.check(nonce), dpopnonce.ErrExpired)
	wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
}

var uuidText = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)

// insertFirst makes the next new nonce a duplicate: just before the next INSERT
// it inserts the nonce that this INSERT binds, in the same transaction if there
// is one. The result points to the nonce. The INSERT may also bind presented,
// which is left alone.
func (e *env) insertFirst(t *testing.T, presented string) *string {
	t.Helper()
	inserted := new(string)
	watch(t, e.db, func(tx *gorm.DB) {
		if *inserted != "" || !strings.Contains(sqlOf(tx), "INSERT") {
			return
		}
		for _, v := range tx.Statement.Vars {
			if s, ok := v.(string); ok && s != presented && urlSafe.MatchString(s) && !uuidText.MatchString(s) {
				*inserted = s
			}
		}
		here := e.WithTx(tx.Session(&gorm.Session{NewDB: true}))
		if _, err := here.Insert(ctx, changeset(*inserted, noon, noon.Add(time.Minute))); err != nil {
			t.Error(err)
		}
	})
	return inserted
}
