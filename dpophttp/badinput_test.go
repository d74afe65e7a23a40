package dpophttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// verify is the verifier of an application whose proofs are their claims,
// unsigned.
func verify(r *http.Request) (p dpophttp.Proof, verified bool) {
	lines := r.Header.Values("DPoP")
	if len(lines) != 1 {
		return p, false
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &claims); err != nil {
		return p, false
	}
	p.ID, verified = claims["jti"].(string)
	if nonce, ok := claims["nonce"]; ok && verified {
		p.Nonce, verified = nonce.(string)
	}
	return p, verified
}

func TestMalformedProofSpendsNothing(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		nonce := f.challenge(t)
		f.guard.Proof, f.guard.Optional = verify, true
		good := `{"jti":"1","nonce":"` + nonce + `"}`
		f.store.calls.Store(0)
		for name, lines := range map[string][]string{
			"two DPoP headers":   {good, good},
			"an empty one":       {""},
			"an empty second":    {good, ""},
			"nonce is a number":  {`{"jti":"1","nonce":7}`},
			"nonce is null":      {`{"jti":"1","nonce":null}`},
			"nonce is an object": {`{"jti":"1","nonce":{"nonce":"` + nonce + `"}}`},
			"nonce is a list":    {`{"jti":"1","nonce":["` + nonce + `"]}`},
		} {
			r := request("")
			r.Header["Dpop"] = lines
			w := f.do(r)
			wantOAuthError(t, w, "invalid_dpop_proof")
			if f.store.calls.Load() != 0 || f.passed != 0 || w.Header().Get("DPoP-Nonce") != "" {
				t.Fatal(name, f.store.calls.Load(), f.passed, w.Header())
			}
		}
		r := request("")
		r.Header.Set("DPoP", good)
		if w := f.do(r); w.Code != http.StatusOK {
			t.Fatal("the proof was spent:", w.Code)
		}
	})
}

func TestLongNonceIsChallenged(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		nonce := f.challenge(t)
		for _, long := range []string{strings.Repeat("n", 10<<10), strings.Repeat(nonce, 250), nonce + strings.Repeat(" ", 10<<10)} {
			w := f.do(request(long))
			wantOAuthError(t, w, "use_dpop_nonce")
			if len(w.Header().Get("DPoP-Nonce")) != len(nonce) || w.Body.Len() > 200 {
				t.Fatal(w.Header(), w.Body)
			}
		}
		if n := f.store.rows(t, "used_at IS NOT NULL"); n != 0 || !errors.Is(f.rejected[0], dpopnonce.ErrUnknown) {
			t.Fatal(n, f.rejected)
		}
	})
}

// A stuck store does not answer one of its calls before the context ends, and
// then fails, or succeeds late. Or the call panics.
type stuck struct {
	*store
	call         string
	late, panics bool
}

func (s stuck) wait(ctx context.Context, call string) error {
	if call != s.call {
		return nil
	}
	if s.panics {
		panic("the store panicked")
	}
	<-ctx.Done()
	if s.late {
		return nil
	}
	return ctx.Err()
}

func (s stuck) Check(ctx context.Context, nonce string, ttl time.Duration) error {
	if err := s.wait(ctx, "check"); err != nil {
		return err
	}
	return s.store.Check(context.WithoutCancel(ctx), nonce, ttl)
}

func (s stuck) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	if err := s.wait(ctx, "issue"); err != nil {
		return "", err
	}
	return s.store.Issue(context.WithoutCancel(ctx), ttl)
}

func (s stuck) Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error) {
	if err := s.wait(ctx, "rotate"); err != nil {
		return "", err
	}
	return s.store.Rotate(context.WithoutCancel(ctx), nonce, ttl)
}

func (s stuck) Spend(ctx context.Context, id string, until time.Time) error {
	if err := s.wait(ctx, "spend"); err != nil {
		return err
	}
	return s.store.Spend(context.WithoutCancel(ctx), id, until)
}

func TestStuckStoreIsAnswered503(t *testing.T) {
	for _, test := range []struct {
		kind  kind
		call  string
		spent int64 // rows, where the store succeeds late
	}{{singleUse, "rotate", 1}, {window, "check", 0}, {windowOnce, "check", 0}, {windowOnce, "issue", 0}, {windowOnce, "spend", 1}} {
		for _, late := range []bool{false, true} {
			if test.call == "issue" && late {
				continue // has a context of its own, which may end first
			}
			f := newFixture(t, test.kind, (*dpophttp.Guard).ResourceServer)
			nonce := f.challenge(t)
			if test.call == "issue" {
				dpophttp.Forget(f.guard)
			}
			s := stuck{f.store, test.call, late, false}
			f.guard.Nonces, f.guard.Timeout = s, 30*time.Millisecond
			if test.kind == windowOnce {
				f.guard.Proofs = s
			}
			w := f.do(request(nonce))
			wantOAuthError(t, w, "temporarily_unavailable")
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("DPoP-Nonce") != "" || f.passed != 0 {
				t.Fatal(test.call, late, w.Code, w.Header(), f.passed)
			}
			if len(f.failed) != 1 || !errors.Is(f.failed[0], context.DeadlineExceeded) || f.rejected != nil {
				t.Fatal(test.call, late, f.failed, f.rejected)
			}
			if n := f.store.rows(t, "used_at IS NOT NULL"); n != 0 && !late || n > test.spent {
				t.Fatalf("%s, late %v: %d rows spent", test.call, late, n)
			}
		}
	}
}

func TestAcceptAndNonceHaveTimeout(t *testing.T) {
	onEachKind(t, func(t *testing.T, f *fixture) {
		for _, call := range []string{"rotate", "check", "issue"} {
			f.guard.Nonces, f.guard.Timeout = stuck{f.store, call, false, false}, 30*time.Millisecond
			var err error
			switch {
			case call == "issue":
				_, err = f.guard.Nonce(context.Background())
			case (call == "rotate") == (f.guard.Policy == dpophttp.SingleUse):
				_, err = f.accept(t, "some-nonce", "1")
			default:
				continue
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(call, err)
			}
		}
	})
}

func TestHandlerKeepsItsContext(t *testing.T) {
	f := newFixture(t, windowOnce, func(g *dpophttp.Guard, _ http.Handler) http.Handler {
		return g.ResourceServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if deadline, ok := r.Context().Deadline(); ok {
				t.Error("the handler has a deadline:", deadline)
			}
		}))
	})
	if w := f.do(request(f.challenge(t))); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
}

func TestClientThatIsGoneSpendsNothing(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		r := request(f.challenge(t))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		f.store.calls.Store(0)
		w := f.do(r.WithContext(ctx))
		if w.Code != http.StatusServiceUnavailable || f.store.calls.Load() != 0 || f.passed != 0 {
			t.Fatal(w.Code, f.store.calls.Load(), f.passed)
		}
		if len(f.failed) != 1 || !errors.Is(f.failed[0], context.Canceled) {
			t.Fatal(f.failed)
		}
		if w := f.do(r); w.Code != http.StatusOK {
			t.Fatal("the nonce or the proof was spent:", w.Code)
		}
	})
}

func TestPanicLeavesProofSpent(t *testing.T) {
	for _, kind := range []kind{singleUse, windowOnce} {
		f := newFixture(t, kind, func(g *dpophttp.Guard, _ http.Handler) http.Handler {
			return g.ResourceServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		})
		r := request(f.challenge(t))
		wantPanic(t, http.ErrAbortHandler.Error(), func() { f.do(r) })
		if w := f.do(r); w.Code != http.StatusUnauthorized {
			t.Fatal(kind, w.Code)
		}
	}
}

func TestPanickingStorePassesNothing(t *testing.T) {
	for call, kind := range map[string]kind{"rotate": singleUse, "check": window, "spend": windowOnce} {
		f := newFixture(t, kind, (*dpophttp.Guard).ResourceServer)
		r := request(f.challenge(t))
		s := stuck{f.store, call, false, true}
		if f.guard.Nonces = s; kind == windowOnce {
			f.guard.Proofs = s
		}
		wantPanic(t, "the store panicked", func() { f.do(r) })
		if f.passed != 0 {
			t.Fatal(call)
		}
	}
}
