package dpophttp

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
)

// A Guard passes requests whose verified DPoP proof carries an acceptable
// nonce, and answers all others itself. Set its fields before the first call of
// a method, and do not copy it. Its methods and handlers are safe for concurrent
// use.
//
// A Guard serves one role, with any number of handlers. On origins of their own
// an authorization server and a resource server have separate nonces (RFC 9449
// section 9): give each role its own Guard and its own table. Clients keep one
// nonce for each origin: where both roles share one, give both Guards Window and
// the same Nonces, or every change of role costs a challenge.
//
// What cannot work panics when a handler is mounted. What fails in a request is
// a 503 to which the Guard adds no nonce, reported to OnError: never a challenge,
// never a pass. A store that panics does so as a handler would.
type Guard struct {
	// Nonces is the store. Required.
	Nonces Nonces

	// Policy is SingleUse by default, which needs Nonces with the method of
	// [Rotator].
	Policy Policy

	// TTL is how long a nonce lives; dpopnonce.DefaultTTL if it is 0. It is at
	// least one second, two where Nonces has Current, and floored to whole
	// seconds. All nodes have the same.
	TTL time.Duration

	// Proof returns what the application's verifier found, and whether the proof
	// is valid: one DPoP header, signature, htm, htu and, with an access token,
	// ath. Its iat need not be compared: the nonce says how old the proof is at
	// most, whatever the client's clock says (RFC 9449 section 11.1). A request
	// without a verified proof is refused, and no store is asked. Required by
	// AuthorizationServer and ResourceServer.
	Proof func(*http.Request) (p Proof, verified bool)

	// Proofs makes Window accept each proof once. The proof is spent last: one
	// that is refused for its nonce is not remembered. SingleUse has no use for
	// it, since the nonce spends the proof.
	Proofs Proofs

	// ProofsElsewhere says, under Window without Proofs, that the application
	// itself refuses a proof that it has seen, for as long as a nonce lives.
	ProofsElsewhere bool

	// Optional passes a request that has neither a DPoP header nor an
	// Authorization header of the scheme DPoP to the handler as it is, without a
	// call of the store. The application then has to refuse a request without a
	// token, and a token that is bound to a key (cnf.jkt) and comes without a
	// proof: a thief would leave the proof out.
	Optional bool

	// Timeout bounds all calls of the stores for one request; 5 seconds if it is
	// 0. After it the answer is 503, whether the proof is spent or not. A store
	// that does not end with its context is waited for, as SQLite while another
	// connection writes (_busy_timeout). The context of the handler is not
	// shortened.
	Timeout time.Duration

	// Clock is time.Now if nil. It is the clock of the stores: where it is more
	// than twice dpopnonce.Tolerance behind that of Proofs, every request fails.
	Clock func() time.Time

	// Algs lists the signature algorithms that a resource server names in its
	// challenges, separated by spaces ("ES256 EdDSA"). Optional.
	Algs string

	// OnReject is called for every verified proof that is refused, before the
	// response is written. The error is the reason: dpopnonce.ErrMissing,
	// ErrUnknown, ErrUsed or ErrExpired for its nonce, under both policies, which
	// the client does not learn; ErrReplayed for the proof itself. Optional.
	OnReject func(*http.Request, error)

	// OnError is called for every failure of a store, and for a Proof without an
	// ID that needs one, before the 503 is written. If the client went away, the
	// error is that of the request's context. Optional.
	OnError func(*http.Request, error)

	mu      sync.Mutex
	role    *role // nil before the first handler
	current current
}

// AuthorizationServer guards next, an endpoint of an authorization server such
// as the token endpoint. It answers a rejected nonce with 400 use_dpop_nonce, a
// replayed proof and a request without a verified proof with 400
// invalid_dpop_proof, and a failure of a store with 503.
//
// It panics if a field of g is missing or invalid, or if g already serves a
// resource server.
func (g *Guard) AuthorizationServer(next http.Handler) http.Handler {
	return g.mount(&authorizationServer, next)
}

// ResourceServer guards next, a protected resource. It answers a rejected nonce
// with 401 and the error use_dpop_nonce in WWW-Authenticate, a replayed proof
// with 401 and invalid_dpop_proof there, a request without a verified proof with
// 401, and a failure of a store with 503. The challenges that an outer layer has
// set follow, and a JSON body names the error again.
//
// It panics if a field of g is missing or invalid, or if g already serves an
// authorization server.
func (g *Guard) ResourceServer(next http.Handler) http.Handler {
	return g.mount(&resourceServer, next)
}

func (g *Guard) mount(as *role, next http.Handler) http.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	why := g.unfit()
	switch {
	case why != "":
	case g.Proof == nil:
		why = "Guard without Proof"
	case strings.IndexFunc(g.Algs, notQuotable) >= 0:
		why = fmt.Sprintf("Algs %q does not fit into a header", g.Algs)
	case g.role != nil && g.role != as:
		why = "this Guard serves as " + g.role.name + ": each role needs its own Guard"
	case isNil(next):
		why = "nil handler"
	}
	if why != "" {
		panic("dpophttp: " + as.name + ": " + why)
	}
	g.role = as
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(as, w, r, next) })
}

// notQuotable reports whether r cannot stand unescaped in a quoted-string (RFC
// 9110 section 5.6.4).
func notQuotable(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

// unfit returns why g cannot judge a proof, or "".
func (g *Guard) unfit() string {
	_, rotates := g.Nonces.(Rotator)
	_, shares := g.Nonces.(sharing)
	window := g.Policy == Window
	switch {
	case isNil(g.Nonces):
		return "Guard without Nonces"
	case g.Policy != SingleUse && !window:
		return fmt.Sprintf("unknown Policy %d", g.Policy)
	case g.TTL != 0 && g.TTL < time.Second:
		return fmt.Sprintf("TTL of %v is under one second", g.TTL)
	case window && shares && g.ttl() < 2*time.Second:
		return fmt.Sprintf("TTL of %v is under two seconds, which Current needs", g.TTL)
	case g.Timeout < 0:
		return fmt.Sprintf("negative Timeout %v", g.Timeout)
	case !window && !rotates:
		return fmt.Sprintf("SingleUse needs Nonces with Rotate, which %T has not", g.Nonces)
	case !window && g.Proofs != nil:
		return "Proofs under SingleUse, where the nonce spends the proof"
	case g.Proofs != nil && isNil(g.Proofs):
		return "Proofs is a nil pointer"
	case window && g.Proofs == nil && !g.ProofsElsewhere:
		return "Window needs Proofs, or ProofsElsewhere if the application refuses a proof that it has seen"
	}
	return ""
}

// isNil also reports a nil pointer or function in the interface.
func isNil(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func:
		return reflect.ValueOf(v).IsNil()
	}
	return false
}

func (g *Guard) serve(as *role, w http.ResponseWriter, r *http.Request, next http.Handler) {
	p, verified := g.Proof(r)
	if !verified && g.Optional && !signed(r.Header) {
		next.ServeHTTP(w, r)
		return
	}
	if !verified {
		as.unverified(w, g.Algs)
		return
	}
	nonce, err := g.judge(r.Context(), p)
	switch {
	case err == nil:
		serveWith(headers{nonce, nonce == p.Nonce, as.exposed}, w, r, next)
	case errors.Is(err, dpopnonce.ErrRejected):
		report(g.OnReject, r, err)
		as.challenge(w, nonce, g.Algs)
	case errors.Is(err, dpopnonce.ErrReplayed):
		report(g.OnReject, r, err)
		as.replayed(w, nonce, g.Algs)
	default:
		report(g.OnError, r, err)
		as.unavailable(w)
	}
}

func report(to func(*http.Request, error), r *http.Request, err error) {
	if to != nil {
		to(r, err)
	}
}
