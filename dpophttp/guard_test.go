package dpophttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

func TestUnfitGuardPanics(t *testing.T) {
	s := newStore(t)
	ok := http.NotFoundHandler()
	for why, guard := range map[string]*dpophttp.Guard{
		"without Nonces":       {NonceClaim: claim},
		"Guard without Nonces": {Nonces: (*dpopnonce.Repository)(nil), NonceClaim: claim},
		"without NonceClaim":   {Nonces: s},
		"999ms":                {Nonces: s, NonceClaim: claim, TTL: 999 * time.Millisecond},
		"-1m0s":                {Nonces: s, NonceClaim: claim, TTL: -time.Minute},
		"Policy 2":             {Nonces: s, NonceClaim: claim, Policy: 2},
		"Algs":                 {Nonces: s, NonceClaim: claim, Algs: `ES256", error="`},
	} {
		wantPanic(t, why, func() { guard.AuthorizationServer(ok) })
		wantPanic(t, why, func() { guard.ResourceServer(ok) })
	}
	good := &dpophttp.Guard{Nonces: s, NonceClaim: claim}
	wantPanic(t, "nil handler", func() { good.ResourceServer(nil) })
}

func TestSecondRolePanics(t *testing.T) {
	s := newStore(t)
	ok := http.NotFoundHandler()
	as := &dpophttp.Guard{Nonces: s, NonceClaim: claim}
	as.AuthorizationServer(ok)
	as.AuthorizationServer(ok)
	wantPanic(t, "serves as AuthorizationServer", func() { as.ResourceServer(ok) })
	rs := &dpophttp.Guard{Nonces: s, NonceClaim: claim}
	rs.ResourceServer(ok)
	wantPanic(t, "serves as ResourceServer", func() { rs.AuthorizationServer(ok) })
	rs.ResourceServer(ok)
}

func TestMountsHandlersWhileServing(t *testing.T) {
	guard := &dpophttp.Guard{Nonces: newStore(t).Repository, NonceClaim: claim}
	first := guard.ResourceServer(http.NotFoundHandler())
	served := make(chan struct{})
	go func() {
		defer close(served)
		for i := 0; i < 20; i++ {
			first.ServeHTTP(httptest.NewRecorder(), request(""))
		}
	}()
	for i := 0; i < 20; i++ {
		guard.ResourceServer(http.NotFoundHandler())
	}
	<-served
}

func wantPanic(t *testing.T, why string, fn func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if got := fmt.Sprint(recover()); !strings.Contains(got, why) {
			t.Fatalf("panic %q, want %q", got, why)
		}
	}()
	fn()
}
