package dpophttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
)

// Nonces is the store that a Guard consults; *dpopnonce.Repository implements
// it. Check and Rotate get the nonce of the proof as it is, "" if it has none,
// and reject it with an error that is [dpopnonce.ErrRejected]. Rotate returns a
// successor beside every rejection.
type Nonces interface {
	Issue(ctx context.Context, ttl time.Duration) (string, error)
	Check(ctx context.Context, nonce string, ttl time.Duration) error
	Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error)
}

// Policy says how often a nonce is accepted.
type Policy int

const (
	// SingleUse spends a nonce with the request that it accepts. Every
	// response, accepted or rejected, carries the next one, at one round trip
	// to the store. A client that sends requests in parallel with one nonce is
	// challenged for all but one of them.
	//
	// Rows are bounded by the rate of challenges times the TTL plus the
	// interval of sweeps: mount the Guard behind client or token
	// authentication, and for public clients limit the rate or take Window.
	SingleUse Policy = iota

	// Window accepts a nonce until it expires. All responses of a Guard carry
	// one current nonce, replaced at half its TTL, so that rows grow with time
	// and Guards, not with requests. It is no guard against replay: the
	// application has to refuse a jti that it has seen, for as long as a nonce
	// lives (RFC 9449 section 11.1).
	Window
)

// A Guard lets requests pass whose verified DPoP proof carries an acceptable
// nonce, and answers all others. Set its fields before the first call of a
// method, and use it by pointer; its handlers are then safe for concurrent use.
//
// A Guard serves one role, for any number of handlers: the nonces of an
// authorization server are not those of a resource server (RFC 9449 section
// 9), so give each role a Guard and a table of its own.
type Guard struct {
	// Nonces is the store, required.
	Nonces Nonces

	// TTL is how long a nonce lives; dpopnonce.DefaultTTL if it is 0. It is
	// floored to whole seconds, and at least one.
	TTL time.Duration

	// Policy is SingleUse unless it is set.
	Policy Policy

	// NonceClaim returns the nonce claim, "" if there is none, of the proof
	// that the application has already verified: signature, htm, htu, iat, jti
	// and, with an access token, ath. It is false if there is no such proof:
	// the request is refused, and the store is never touched. Required.
	NonceClaim func(*http.Request) (nonce string, verified bool)

	// Algs is the list of signature algorithms, separated by spaces, that a
	// resource server names in its challenges ("ES256 EdDSA"); optional.
	Algs string

	// OnReject is called for every proof whose nonce is rejected, before the
	// challenge is written. The error is the reason: dpopnonce.ErrMissing,
	// ErrUnknown, ErrUsed or ErrExpired, under both policies. The client does
	// not learn it. Optional.
	OnReject func(*http.Request, error)

	// OnError is told of every failure of the store, before the 503 is
	// written. Where a client went away it is the error of the request's
	// context. Optional.
	OnError func(*http.Request, error)

	mu      sync.Mutex
	role    *role // nil before the first handler
	current current
}

// AuthorizationServer guards next, an endpoint of an authorization server such
// as the token endpoint. A nonce that is not acceptable is answered with 400
// use_dpop_nonce, a request without a verified proof with 400
// invalid_dpop_proof, a failure of the store with 503.
//
// It panics, saying why, for a Guard that cannot work or that guards a resource
// server.
func (g *Guard) AuthorizationServer(next http.Handler) http.Handler {
	return g.guard(&authorizationServer, next)
}

// ResourceServer guards next, a protected resource. A nonce that is not
// acceptable is answered with 401 and a WWW-Authenticate of use_dpop_nonce, a
// request without a verified proof with 401, a failure of the store with 503.
//
// It panics, saying why, for a Guard that cannot work or that guards an
// authorization server.
func (g *Guard) ResourceServer(next http.Handler) http.Handler {
	return g.guard(&resourceServer, next)
}

func (g *Guard) guard(as *role, next http.Handler) http.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	if why := g.unfit(as); why != "" {
		panic("dpophttp: " + as.name + ": " + why)
	}
	if next == nil {
		panic("dpophttp: " + as.name + ": nil handler")
	}
	g.role = as
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(as, w, r, next) })
}

// unfit says why g cannot serve as a role.
func (g *Guard) unfit(as *role) string {
	switch {
	case isNil(g.Nonces):
		return "Guard without Nonces"
	case g.NonceClaim == nil:
		return "Guard without NonceClaim"
	case g.TTL != 0 && g.TTL < time.Second:
		return fmt.Sprintf("TTL of %v is under one second", g.TTL)
	case g.Policy != SingleUse && g.Policy != Window:
		return fmt.Sprintf("unknown Policy %d", g.Policy)
	case strings.IndexFunc(g.Algs, notQuotable) >= 0:
		return fmt.Sprintf("Algs %q", g.Algs)
	case g.role != nil && g.role != as:
		return "this Guard serves as " + g.role.name + ": each role needs its own nonces"
	}
	return ""
}

// isNil is true for a nil pointer in the interface, too.
func isNil(n Nonces) bool {
	v := reflect.ValueOf(n)
	return n == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// notQuotable is true for what a quoted-string of a header cannot hold as it
// is.
func notQuotable(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

func (g *Guard) ttl() time.Duration {
	if g.TTL == 0 {
		return dpopnonce.DefaultTTL
	}
	return g.TTL
}

func (g *Guard) serve(as *role, w http.ResponseWriter, r *http.Request, next http.Handler) {
	nonce, verified := g.NonceClaim(r)
	if !verified {
		as.prepare(w, "")
		as.refuse(w, g.Algs)
		return
	}
	fresh, err := g.judge(r.Context(), nonce)
	switch {
	case err == nil && fresh == nonce:
		serveWith(headers{exposed: as.exposed}, w, r, next)
	case err == nil:
		serveWith(headers{fresh, as.exposed}, w, r, next)
	case errors.Is(err, dpopnonce.ErrRejected):
		if g.OnReject != nil {
			g.OnReject(r, err)
		}
		as.prepare(w, fresh)
		as.challenge(w, g.Algs)
	default:
		if g.OnError != nil {
			g.OnError(r, err)
		}
		as.prepare(w, "")
		as.fail(w)
	}
}

// judge returns the nonce for the response, and why the request may not pass.
func (g *Guard) judge(ctx context.Context, nonce string) (fresh string, err error) {
	if g.Policy == Window {
		fresh, err = g.judgeWindow(ctx, nonce)
	} else {
		fresh, err = g.Nonces.Rotate(ctx, nonce, g.ttl())
	}
	if fresh == "" && (err == nil || errors.Is(err, dpopnonce.ErrRejected)) {
		// No rejection to its callers: it could not be answered.
		return "", fmt.Errorf("dpophttp: %T gave no new nonce: %v", g.Nonces, err)
	}
	return fresh, err
}

func (g *Guard) judgeWindow(ctx context.Context, nonce string) (next string, err error) {
	rejection := g.Nonces.Check(ctx, nonce, g.ttl())
	switch {
	case errors.Is(rejection, dpopnonce.ErrRejected):
		g.current.drop(nonce) // the challenge must carry another one
	case rejection != nil:
		return "", rejection
	}
	if next, err = g.current.get(ctx, g.Nonces, g.ttl()); err != nil {
		return "", err
	}
	return next, rejection
}
