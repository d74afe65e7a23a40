package dialecttest

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

var checkCases = []testCase{
	{name: "accepts until expires_at or the first use, spends nothing", run: func(t *testing.T, e *env) {
		want := func(nonce string, want error) {
			t.Helper()
			wantIs(t, e.Check(ctx, nonce, time.Minute), want)
		}
		nonce := e.issue(t, 10*time.Second)
		want(nonce, nil)
		e.clock.Set(noon.Add(10 * time.Second))
		want(nonce, dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(10*time.Second - 1))
		want(nonce, nil)
		want(nonce, nil)
		wantIs(t, e.consume(nonce), nil)
		want(nonce, dpopnonce.ErrUsed)
		want("never-issued", dpopnonce.ErrUnknown)
	}},
	{name: "rejects malformed nonces without a statement", run: func(t *testing.T, e *env) {
		sent := statements(t, e.db)
		for _, malformed := range malformedNonces {
			wantIs(t, e.Check(ctx, malformed, time.Minute), reasonOf(malformed))
			if err := e.consume(malformed); err == nil {
				t.Fatalf("Consume(%q) accepted", malformed)
			}
		}
		if all := sent(); len(all) > 0 {
			t.Fatalf("sent %q", all)
		}
	}},
}
