package recipes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dpophttp"
)

// The application's part, with proof.go: who copies a recipe has this
// already. It knows nothing of nonces but to hand them on.

// An Application knows its own URL and its access tokens.
type Application struct {
	Origin string                           // under which clients reach it: https://api.example
	Tokens func(token string) (Token, bool) // the verification of a JWT, or an introspection
}

// A Token is a valid access token.
type Token struct {
	Subject    string
	Thumbprint string // cnf.jkt (RFC 9449 section 6), "" for a bearer token
}

// A Caller is who sends a request, and the proof that came with it.
type Caller struct {
	Subject  string
	Proof    dpophttp.Proof // without ID: none was verified
	IssuedAt time.Time      // by the clock of the client
	HasNonce bool           // the proof has the claim, empty or not
}

// The errors of Verify, by their OAuth codes.
var (
	errProof = errors.New("invalid_dpop_proof")
	errToken = errors.New("invalid_token")
)

// Verify returns the caller of a request with an access token, from the lines of
// its Authorization and DPoP headers.
func (a *Application) Verify(method, path string, authorization, dpop []string) (Caller, error) {
	scheme, text, _ := strings.Cut(strings.Join(authorization, ","), " ")
	if !strings.EqualFold(scheme, "DPoP") {
		return Caller{}, fmt.Errorf("%w: no access token of the scheme DPoP", errProof)
	}
	token, ok := a.Tokens(text)
	if !ok {
		return Caller{}, errToken
	}
	p, err := verifyProof(dpop, method, a.Origin, path, text)
	switch {
	case err != nil:
		return Caller{}, fmt.Errorf("%w: %w", errProof, err)
	case p.thumbprint != token.Thumbprint:
		return Caller{}, fmt.Errorf("%w: bound to another key", errToken)
	}
	proof := dpophttp.Proof{Nonce: p.claims.Nonce.text, ID: p.thumbprint + "." + p.claims.JTI}
	return Caller{token.Subject, proof, time.Unix(int64(*p.claims.IAT), 0), p.claims.Nonce.present}, nil
}

// Authenticate puts the caller into the request's context. What has no valid
// proof goes on without: the Guard answers it.
func (a *Application) Authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := a.Verify(r.Method, r.URL.EscapedPath(), r.Header.Values("Authorization"), r.Header.Values("DPoP"))
		switch {
		case err == nil:
			r = r.WithContext(withCaller(r.Context(), caller))
		case errors.Is(err, errToken):
			w.Header().Add("WWW-Authenticate", `DPoP error="invalid_token"`)
			writeError(w, http.StatusUnauthorized, "invalid_token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

type callerKey struct{}

func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// proofOf is the Proof of the Guards.
func proofOf(r *http.Request) (p dpophttp.Proof, verified bool) {
	p = callerOf(r.Context()).Proof
	return p, p.ID != ""
}

func writeError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "{%q:%q}\n", "error", code)
}
