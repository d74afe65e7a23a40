package dpophttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// A spender is Proofs that records its calls and has the result of spend.
type spender struct {
	ids   []string
	until time.Time
	spend func() error // nil: accepts
}

func (s *spender) Spend(_ context.Context, id string, until time.Time) error {
	s.ids, s.until = append(s.ids, id), until
	if s.spend != nil {
		return s.spend()
	}
	return nil
}

// spending returns a resource server under Window whose proofs are a spender.
func spending(t *testing.T) (*fixture, *spender) {
	t.Helper()
	f, s := newFixture(t, windowOnce, (*dpophttp.Guard).ResourceServer), &spender{}
	f.guard.Proofs = s
	return f, s
}

func TestReplayedProofIsRefusedWithNonce(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		if f.guard.Proofs == nil {
			return
		}
		r := request(f.challenge(t))
		if w := f.do(r); w.Code != http.StatusOK {
			t.Fatal(w.Code)
		}
		current := f.replaceCurrent(t)
		f.rejected = nil
		w := f.do(r)
		wantOAuthError(t, w, "invalid_dpop_proof")
		const challenge = `DPoP error="invalid_dpop_proof", error_description="DPoP proof was used before", algs="ES256 EdDSA"`
		want := map[int]string{http.StatusBadRequest: "", http.StatusUnauthorized: challenge}
		if got := w.Header().Get("WWW-Authenticate"); got != want[w.Code] || w.Header().Get("DPoP-Nonce") != current {
			t.Fatal(w.Code, w.Header())
		}
		if len(f.rejected) != 1 || !errors.Is(f.rejected[0], dpopnonce.ErrReplayed) || f.failed != nil || f.passed != 1 {
			t.Fatal(f.rejected, f.failed, f.passed)
		}
	})
}

func TestConcurrentReplaysPassOnce(t *testing.T) {
	s := newStore(t)
	guard := &dpophttp.Guard{Nonces: s, Proof: proof, Policy: dpophttp.Window, Proofs: s,
		Clock: func() time.Time { return noon }}
	nonce, err := guard.Nonce(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var passed, refused atomic.Int64
	handler := guard.ResourceServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed.Add(1) }))
	r := request(nonce)
	var all sync.WaitGroup
	for i := 0; i < 32; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code == http.StatusUnauthorized {
				refused.Add(1)
			}
		}()
	}
	all.Wait()
	if passed.Load() != 1 || refused.Load() != 31 {
		t.Fatal(passed.Load(), refused.Load())
	}
}

func TestRejectedNonceSpendsNoProof(t *testing.T) {
	f, s := spending(t)
	for nonce := range f.rejections(t) {
		f.do(request(nonce))
	}
	if len(s.ids) != 0 {
		t.Fatalf("%d proofs", len(s.ids))
	}
	r := request(f.challenge(t))
	if w := f.do(r); w.Code != http.StatusOK || len(s.ids) != 1 || s.ids[0] != r.Header.Get("Id") {
		t.Fatal(w.Code, s.ids)
	}
}

// moving is a store whose Check takes a while by the clock of f.
type moving struct {
	*store
	check time.Duration
}

func (m moving) Check(ctx context.Context, nonce string, ttl time.Duration) error {
	defer func() { m.clock = m.clock.Add(m.check) }()
	return m.store.Check(ctx, nonce, ttl)
}

func TestProofIsSpentUntilNonceIsGone(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Second, time.Hour} {
		f, s := spending(t)
		f.guard.TTL = ttl
		nonce := f.challenge(t)
		f.guard.Nonces = moving{f.store, 3 * time.Second}
		f.do(request(nonce))
		if ttl == 0 {
			ttl = dpopnonce.DefaultTTL
		}
		if want := noon.Add(ttl + dpopnonce.Tolerance); !s.until.Equal(want) {
			t.Fatalf("ttl %v: until %v, want %v", ttl, s.until, want)
		}
	}
}

func TestNonceIsCheckedAgainInLaterSecond(t *testing.T) {
	for _, test := range []struct {
		takes       time.Duration // of Spend
		code, calls int
	}{
		{time.Second - 1, http.StatusOK, 1},
		{time.Second, http.StatusOK, 2},
		{59 * time.Second, http.StatusOK, 3}, // and issues the next nonce
		{time.Minute, http.StatusUnauthorized, 3},
	} {
		f, s := spending(t)
		f.guard.TTL = time.Minute
		nonce := f.challenge(t)
		s.spend = func() error { f.store.clock = f.store.clock.Add(test.takes); return nil }
		f.store.calls.Store(0)
		w := f.do(request(nonce))
		if w.Code != test.code || f.store.calls.Load() != int64(test.calls) || len(s.ids) != 1 {
			t.Fatal(test.takes, w.Code, f.store.calls.Load(), s.ids)
		}
		if w.Code == http.StatusOK {
			continue
		}
		if len(f.rejected) != 1 || !errors.Is(f.rejected[0], dpopnonce.ErrExpired) || f.passed != 0 {
			t.Fatal(f.rejected, f.passed)
		}
		s.spend = nil
		if w := f.do(request(w.Header().Get("DPoP-Nonce"))); w.Code != http.StatusOK {
			t.Fatal("the nonce of the challenge was not accepted:", w.Code)
		}
	}
}

func TestProofOutOfTimeIsChallenged(t *testing.T) {
	f, s := spending(t)
	nonce := f.challenge(t)
	s.spend = func() error { return dpopnonce.ErrExpired }
	w := f.do(request(nonce))
	wantOAuthError(t, w, "use_dpop_nonce")
	if next := w.Header().Get("DPoP-Nonce"); next == "" || next == nonce {
		t.Fatal(w.Header())
	}
	if len(f.rejected) != 1 || !errors.Is(f.rejected[0], dpopnonce.ErrExpired) || f.failed != nil {
		t.Fatal(f.rejected, f.failed)
	}
}

func TestFailureToSpendIsAnswered503(t *testing.T) {
	f, s := spending(t)
	down := errors.New("the store is down")
	for name, spend := range map[string]func() error{
		"fails":              func() error { return down },
		"refuses the fields": func() error { return &dpopnonce.ValidationError{} },
		"fails afterwards": func() error {
			f.store.clock, f.store.down = f.store.clock.Add(time.Second), down
			return nil
		},
	} {
		nonce := f.challenge(t)
		s.spend, f.failed = spend, nil
		w := f.do(request(nonce))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("DPoP-Nonce") != "" || f.passed != 0 {
			t.Fatal(name, w.Code, w.Header(), f.passed)
		}
		if len(f.failed) != 1 || f.rejected != nil {
			t.Fatal(name, f.failed, f.rejected)
		}
		f.store.down = nil
	}
}

func TestProofWithoutIDIsAnswered503(t *testing.T) {
	onEachRole(t, func(t *testing.T, f *fixture) {
		nonce := f.challenge(t)
		f.store.calls.Store(0)
		r := request(nonce)
		r.Header.Del("Id")
		w := f.do(r)
		if f.guard.Proofs == nil {
			if w.Code != http.StatusOK {
				t.Fatal("an ID was needed without Proofs:", w.Code)
			}
			return
		}
		if w.Code != http.StatusServiceUnavailable || len(f.failed) != 1 || f.store.calls.Load() != 0 || f.passed != 0 {
			t.Fatal(w.Code, f.failed, f.store.calls.Load(), f.passed)
		}
	})
}
