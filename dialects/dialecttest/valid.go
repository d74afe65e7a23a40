package dialecttest

import (
	"testing"
	"time"
)

var validCases = []testCase{
	{name: "is true until expires_at or the first use, and spends nothing", run: func(t *testing.T, e *env) {
		want := func(nonce string, want bool) {
			t.Helper()
			if valid, err := e.Valid(ctx, nonce); valid != want || err != nil {
				t.Fatalf("got %v, %v; want %v", valid, err, want)
			}
		}
		nonce := e.issue(t, 10*time.Second)
		want(nonce, true)
		e.clock.Set(noon.Add(10 * time.Second))
		want(nonce, false)
		e.clock.Set(noon.Add(10*time.Second - 1))
		want(nonce, true)
		want(nonce, true)
		wantIs(t, e.consume(nonce), nil)
		want(nonce, false)
		want("never-issued", false)
	}},
	{name: "a value that cannot be a nonce is false without a query", run: func(t *testing.T, e *env) {
		sent := statements(t, e.db)
		for _, malformed := range malformedNonces {
			if valid, err := e.Valid(ctx, malformed); valid || err != nil {
				t.Fatalf("Valid(%q) = %v, %v", malformed, valid, err)
			}
			if err := e.consume(malformed); err == nil {
				t.Fatalf("Consume(%q) accepted", malformed)
			}
		}
		if all := sent(); len(all) > 0 {
			t.Fatalf("sent %q", all)
		}
	}},
}
