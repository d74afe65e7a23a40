package dpophttp_test

import (
	"fmt"
	"math"
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
	nonces := struct{ dpophttp.Nonces }{s} // without Rotate
	for why, guard := range map[string]*dpophttp.Guard{
		"Guard without Nonces": {Proof: proof},
		"without Nonces":       {Nonces: (*dpopnonce.Repository)(nil), Proof: proof},
		"without Proof":        {Nonces: s},
		"999ms":                {Nonces: s, Proof: proof, TTL: 999 * time.Millisecond},
		"-1m0s":                {Nonces: s, Proof: proof, TTL: -time.Minute},
		"TTL of 1.999s":        {Nonces: newSealer(t), Proof: proof, TTL: 1999 * time.Millisecond, Policy: dpophttp.Window, Proofs: s},
		"Timeout -1ns":         {Nonces: s, Proof: proof, Timeout: -1},
		"Policy 2":             {Nonces: s, Proof: proof, Policy: 2},
		"Algs":                 {Nonces: s, Proof: proof, Algs: `ES256", error="`},
		"with Rotate":          {Nonces: nonces, Proof: proof},
		"under SingleUse":      {Nonces: s, Proof: proof, Proofs: s},
		"needs Proofs":         {Nonces: s, Proof: proof, Policy: dpophttp.Window},
		"nil pointer": {Nonces: s, Proof: proof, Policy: dpophttp.Window, ProofsElsewhere: true,
			Proofs: (*dpopnonce.Repository)(nil)},
	} {
		wantPanic(t, why, func() { guard.AuthorizationServer(ok) })
		wantPanic(t, why, func() { guard.ResourceServer(ok) })
	}
	good := &dpophttp.Guard{Nonces: s, Proof: proof}
	wantPanic(t, "nil handler", func() { good.ResourceServer(nil) })
	wantPanic(t, "nil handler", func() { good.ResourceServer(http.HandlerFunc(nil)) })
}

func TestFitGuardIsMounted(t *testing.T) {
	s := newStore(t)
	nonces := struct{ dpophttp.Nonces }{s} // without Rotate
	for name, guard := range map[string]*dpophttp.Guard{
		"SingleUse":                         {Nonces: s},
		"SingleUse with ProofsElsewhere":    {Nonces: s, ProofsElsewhere: true},
		"Window without Rotate":             {Nonces: nonces, Policy: dpophttp.Window, Proofs: s},
		"Window with ProofsElsewhere":       {Nonces: nonces, Policy: dpophttp.Window, ProofsElsewhere: true},
		"Window with Proofs and elsewhere":  {Nonces: nonces, Policy: dpophttp.Window, Proofs: s, ProofsElsewhere: true},
		"Window with Current and 2 seconds": {Nonces: newSealer(t), Policy: dpophttp.Window, Proofs: s, TTL: 2 * time.Second},
		"the longest TTL":                   {Nonces: s, TTL: math.MaxInt64},
	} {
		guard.Proof = proof
		if w := (&fixture{handler: guard.ResourceServer(http.NotFoundHandler())}).do(request("")); w.Code != http.StatusUnauthorized {
			t.Error(name, w.Code)
		}
	}
}

func TestSecondRolePanics(t *testing.T) {
	s := newStore(t)
	ok := http.NotFoundHandler()
	as := &dpophttp.Guard{Nonces: s, Proof: proof}
	as.AuthorizationServer(ok)
	as.AuthorizationServer(ok)
	wantPanic(t, "serves as AuthorizationServer", func() { as.ResourceServer(ok) })
	rs := &dpophttp.Guard{Nonces: s, Proof: proof}
	rs.ResourceServer(ok)
	wantPanic(t, "serves as ResourceServer", func() { rs.AuthorizationServer(ok) })
	rs.ResourceServer(ok)
}

func TestMountsHandlersWhileServing(t *testing.T) {
	guard := &dpophttp.Guard{Nonces: newStore(t).Repository, Proof: proof}
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
