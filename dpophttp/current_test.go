package dpophttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// slow is a store whose Issue reports its start on entered and waits for leave.
type slow struct {
	dpophttp.Nonces
	entered, leave chan struct{}
	fail           func() // if not nil, called in place of returning
}

func (s slow) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	s.entered <- struct{}{}
	select {
	case <-s.leave:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if s.fail != nil {
		s.fail()
	}
	return s.Nonces.Issue(ctx, ttl)
}

func TestConcurrentRequestsShareOneIssue(t *testing.T) {
	s := newStore(t)
	waiting := slow{Nonces: s, entered: make(chan struct{}, 64), leave: make(chan struct{})}
	guard := &dpophttp.Guard{Nonces: waiting, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true}
	handler := guard.ResourceServer(http.NotFoundHandler())
	do := func(ctx context.Context, codes chan<- int) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request("").WithContext(ctx))
		codes <- w.Code
	}
	ctx, cancel := context.WithCancel(context.Background())
	first, others := make(chan int, 1), make(chan int, 32)
	go do(ctx, first)
	<-waiting.entered
	for i := 0; i < 32; i++ {
		go do(context.Background(), others)
	}
	cancel()
	if code := <-first; code != http.StatusServiceUnavailable {
		t.Fatal(code)
	}
	for i := 0; i < 1000; i++ {
		runtime.Gosched() // until the others wait
	}
	close(waiting.leave)
	for i := 0; i < 32; i++ {
		if code := <-others; code != http.StatusUnauthorized {
			t.Fatal(code)
		}
	}
	if n := s.rows(t, "1 = 1"); n != 1 || len(waiting.entered) != 0 {
		t.Fatalf("%d rows, %d more calls", n, len(waiting.entered))
	}
}

type tenantKey struct{}

// tenants is a store that needs a value of the context, as callbacks of an
// application may.
type tenants struct{ dpophttp.Nonces }

func (s tenants) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	if ctx.Value(tenantKey{}) != "acme" {
		return "", errors.New("no tenant")
	}
	return s.Nonces.Issue(ctx, ttl)
}

func TestIssueSeesValuesOfRequest(t *testing.T) {
	guard := &dpophttp.Guard{Nonces: tenants{newStore(t)}, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true}
	handler := guard.ResourceServer(http.NotFoundHandler())
	for tenant, want := range map[string]int{"": http.StatusServiceUnavailable, "acme": http.StatusUnauthorized} {
		dpophttp.Forget(guard)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request("").WithContext(context.WithValue(context.Background(), tenantKey{}, tenant)))
		if w.Code != want {
			t.Fatal(tenant, w.Code)
		}
	}
}

// hanging is a store whose first Issue does not look at its context.
type hanging struct {
	dpophttp.Nonces
	calls       atomic.Int64
	leave, left chan struct{}
}

func (s *hanging) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	if s.calls.Add(1) == 1 {
		<-s.leave
		defer close(s.left)
		return "too-late", nil
	}
	return s.Nonces.Issue(ctx, ttl)
}

func TestHangingIssueAnswersAllAndIsReplaced(t *testing.T) {
	s := &hanging{Nonces: newStore(t), leave: make(chan struct{}), left: make(chan struct{})}
	guard := &dpophttp.Guard{Nonces: s, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true,
		Timeout: 50 * time.Millisecond}
	handler := guard.ResourceServer(http.NotFoundHandler())
	do := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request(""))
		return w
	}
	codes := make(chan int, 16)
	for i := 0; i < 16; i++ {
		go func() { codes <- do().Code }()
	}
	for i := 0; i < 16; i++ {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatal(code)
		}
	}
	nonce := ""
	for i := 0; i < 100 && nonce == ""; i++ { // a slow machine may need longer than the timeout
		nonce = do().Header().Get("DPoP-Nonce")
	}
	if nonce == "" {
		t.Fatal("no Issue beside the one that hangs")
	}
	close(s.leave)
	<-s.left
	for i := 0; i < 100; i++ {
		runtime.Gosched() // until the first Issue is done
	}
	if got := do().Header().Get("DPoP-Nonce"); got != nonce {
		t.Fatal("a late Issue replaced the current nonce")
	}
}

func TestIssueWithoutReturnIsAnswered503(t *testing.T) {
	for name, fail := range map[string]func(){
		"panic":  func() { panic("bug of the store") },
		"Goexit": runtime.Goexit,
	} {
		failing := slow{Nonces: newStore(t), entered: make(chan struct{}, 2), leave: make(chan struct{}), fail: fail}
		close(failing.leave)
		var failed error
		guard := &dpophttp.Guard{Nonces: failing, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true,
			OnError: func(_ *http.Request, err error) { failed = err }}
		handler := guard.ResourceServer(http.NotFoundHandler())
		for i := 0; i < 2; i++ {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, request(""))
			if w.Code != http.StatusServiceUnavailable || failed == nil {
				t.Fatal(name, w.Code, failed)
			}
		}
	}
}

// mute is a store that breaks its contract: it returns no nonce.
type mute struct{ err error }

func (m mute) Issue(context.Context, time.Duration) (string, error)          { return "", nil }
func (m mute) Check(context.Context, string, time.Duration) error            { return m.err }
func (m mute) Rotate(context.Context, string, time.Duration) (string, error) { return "", m.err }

// muteCurrent has Current besides.
type muteCurrent struct{ mute }

func (m muteCurrent) Current(time.Duration) (string, error) { return "", nil }

func TestEmptyNonceOfStoreIsAnswered503(t *testing.T) {
	for _, err := range []error{nil, dpopnonce.ErrUsed} {
		for _, nonces := range []dpophttp.Nonces{mute{err}, muteCurrent{mute{err}}} {
			for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
				once := &spender{}
				guard := &dpophttp.Guard{Nonces: nonces, Proof: proof, Policy: policy}
				if policy == dpophttp.Window {
					guard.Proofs = once
				}
				w := httptest.NewRecorder()
				guard.AuthorizationServer(http.NotFoundHandler()).ServeHTTP(w, request("some-nonce"))
				if w.Code != http.StatusServiceUnavailable || len(once.ids) != 0 {
					t.Fatal(policy, err, w.Code, once.ids)
				}
				if nonce, err := guard.Nonce(context.Background()); nonce != "" || err == nil {
					t.Fatal(nonce, err)
				}
			}
		}
	}
}
