package dpophttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
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
	guard := &dpophttp.Guard{Nonces: waiting, NonceClaim: claim, Policy: dpophttp.Window}
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
	guard := &dpophttp.Guard{Nonces: tenants{newStore(t)}, NonceClaim: claim, Policy: dpophttp.Window}
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

// hanging is a store whose Issue does not look at its context.
type hanging struct {
	dpophttp.Nonces
	leave chan struct{}
}

func (s hanging) Issue(ctx context.Context, ttl time.Duration) (string, error) {
	<-s.leave
	return s.Nonces.Issue(context.Background(), ttl)
}

func TestHangingIssueAnswersAllAndIsReplaced(t *testing.T) {
	s := hanging{newStore(t), make(chan struct{})}
	guard := &dpophttp.Guard{Nonces: s, NonceClaim: claim, Policy: dpophttp.Window}
	dpophttp.SetIssueTimeout(guard, 20*time.Millisecond)
	handler := guard.ResourceServer(http.NotFoundHandler())
	do := func(codes chan<- int) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, request(""))
		codes <- w.Code
	}
	codes := make(chan int, 16)
	for i := 0; i < 16; i++ {
		go do(codes)
	}
	for i := 0; i < 16; i++ {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatal(code)
		}
	}
	dpophttp.SetIssueTimeout(guard, time.Minute)
	go do(codes) // waits for an Issue of its own
	close(s.leave)
	if code := <-codes; code != http.StatusUnauthorized {
		t.Fatal(code)
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
		guard := &dpophttp.Guard{Nonces: failing, NonceClaim: claim, Policy: dpophttp.Window,
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
func (m mute) Check(context.Context, string, time.Duration) error            { return nil }
func (m mute) Rotate(context.Context, string, time.Duration) (string, error) { return "", m.err }

func TestEmptyNonceOfStoreIsAnswered503(t *testing.T) {
	for _, policy := range []dpophttp.Policy{dpophttp.SingleUse, dpophttp.Window} {
		for _, err := range []error{nil, dpopnonce.ErrUsed} {
			for _, nonce := range []string{"", "some-nonce"} {
				guard := &dpophttp.Guard{Nonces: mute{err}, NonceClaim: claim, Policy: policy}
				w := httptest.NewRecorder()
				guard.AuthorizationServer(http.NotFoundHandler()).ServeHTTP(w, request(nonce))
				if w.Code != http.StatusServiceUnavailable {
					t.Fatal(policy, err, w.Code)
				}
			}
		}
	}
}
