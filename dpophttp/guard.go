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
	// SingleUse accepts a nonce once. Every response carries the next nonce,
	// accepted or rejected, at one call of the store. A client that sends
	// parallel requests with one nonce is challenged for all but one of them.
	//
	// The table holds up to (rate of challenges) × (TTL + interval of sweeps)
	// rows. Mount the Guard behind client or token authentication. For public
	// clients limit the rate or use Window.
	SingleUse Policy = iota

	// Window accepts a nonce until it expires. All responses of a Guard carry
	// the same current nonce, which is replaced at half its TTL: the number of
	// rows does not depend on the number of requests. Window does not prevent
	// replays: the application has to refuse a jti that it has seen for as long
	// as a nonce lives (RFC 9449 section 11.1).
	Window
)

// A Guard passes requests whose verified DPoP proof carries an acceptable
// nonce, and answers all others itself. Set its fields before the first call of
// a method, and do not copy it. Its handlers are safe for concurrent use.
//
// A Guard serves one role, with any number of handlers. An authorization server
// and a resource server have separate nonces (RFC 9449 section 9): give each
// role its own Guard and its own table.
type Guard struct {
	// Nonces is the store. Required.
	Nonces Nonces

	// TTL is how long a nonce lives; dpopnonce.DefaultTTL if it is 0. It is at
	// least one second, and floored to whole seconds.
	TTL time.Duration

	// Policy is SingleUse by default.
	Policy Policy

	// NonceClaim returns the nonce claim of the request's proof, "" if it has
	// none, and whether the application has verified that proof: signature, htm,
	// htu, iat, jti and, with an access token, ath. A request without a verified
	// proof is refused, and the store is not called. Required.
	NonceClaim func(*http.Request) (nonce string, verified bool)

	// Algs lists the signature algorithms that a resource server names in its
	// challenges, separated by spaces ("ES256 EdDSA"). Optional.
	Algs string

	// OnReject is called for every proof whose nonce is rejected, before the
	// challenge is written. The error is the reason: dpopnonce.ErrMissing,
	// ErrUnknown, ErrUsed or ErrExpired, under both policies. The client does
	// not learn it. Optional.
	OnReject func(*http.Request, error)

	// OnError is called for every failure of the store, before the 503 is
	// written. If the client went away, the error is that of the request's
	// context. Optional.
	OnError func(*http.Request, error)

	mu      sync.Mutex
	role    *role // nil before the first handler
	current current
}

// AuthorizationServer guards next, an endpoint of an authorization server such
// as the token endpoint. It answers a rejected nonce with 400 use_dpop_nonce, a
// request without a verified proof with 400 invalid_dpop_proof, and a failure of
// the store with 503.
//
// It panics if a field of g is missing or invalid, or if g already serves a
// resource server.
func (g *Guard) AuthorizationServer(next http.Handler) http.Handler {
	return g.guard(&authorizationServer, next)
}

// ResourceServer guards next, a protected resource. It answers a rejected nonce
// with 401 and the error use_dpop_nonce in WWW-Authenticate, a request without a
// verified proof with 401, and a failure of the store with 503. The challenges
// that an outer layer has set stay, and a JSON body names the error again.
//
// It panics if a field of g is missing or invalid, or if g already serves an
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

// unfit returns why g cannot serve as a role, or "".
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
		return fmt.Sprintf("Algs %q does not fit into a header", g.Algs)
	case g.role != nil && g.role != as:
		return "this Guard serves as " + g.role.name + ": each role needs its own Guard"
	}
	return ""
}

// isNil also reports a nil pointer in the interface.
func isNil(n Nonces) bool {
	v := reflect.ValueOf(n)
	return n == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// notQuotable reports whether r cannot stand unescaped in a quoted-string (RFC
// 9110 section 5.6.4).
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
		as.unverified(w, g.Algs)
		return
	}
	successor, err := g.judge(r.Context(), nonce)
	switch {
	case err == nil && successor == nonce:
		serveWith(headers{exposed: as.exposed}, w, r, next)
	case err == nil:
		serveWith(headers{successor, as.exposed}, w, r, next)
	case errors.Is(err, dpopnonce.ErrRejected):
		if g.OnReject != nil {
			g.OnReject(r, err)
		}
		as.challenge(w, successor, g.Algs)
	default:
		if g.OnError != nil {
			g.OnError(r, err)
		}
		as.unavailable(w)
	}
}

// judge returns the nonce for the response, and a rejection or a failure if the
// request may not pass.
func (g *Guard) judge(ctx context.Context, nonce string) (successor string, err error) {
	if g.Policy == Window {
		successor, err = g.judgeWindow(ctx, nonce)
	} else {
		successor, err = g.Nonces.Rotate(ctx, nonce, g.ttl())
	}
	if successor == "" && (err == nil || errors.Is(err, dpopnonce.ErrRejected)) {
		// %v turns a rejection into a failure: no challenge goes without a nonce.
		return "", fmt.Errorf("dpophttp: %T returned no nonce: %v", g.Nonces, err)
	}
	return successor, err
}

func (g *Guard) judgeWindow(ctx context.Context, nonce string) (successor string, err error) {
	rejection := g.Nonces.Check(ctx, nonce, g.ttl())
	switch {
	case errors.Is(rejection, dpopnonce.ErrRejected):
		g.current.drop(nonce) // the challenge must carry another one
	case rejection != nil:
		return "", rejection
	}
	if successor, err = g.current.get(ctx, g.Nonces, g.ttl()); err != nil {
		return "", err
	}
	return successor, rejection
}
