package dpophttp_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// The application keeps the verified proof of a request in its context.
type verifiedProof struct{ nonce, thumbprint, jti string }

type proofKey struct{}

func proofOf(r *http.Request) (p dpophttp.Proof, verified bool) {
	v, ok := r.Context().Value(proofKey{}).(verifiedProof)
	return dpophttp.Proof{Nonce: v.nonce, ID: v.thumbprint + "." + v.jti}, ok
}

func verifyProof(next http.Handler) http.Handler        { return next }
func authenticateClient(next http.Handler) http.Handler { return next }
func authenticateToken(next http.Handler) http.Handler  { return next }

var token, resource http.HandlerFunc = http.NotFound, http.NotFound

func Example() {
	db, err := gorm.Open(sqlite.Open("file:nonces.db?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate"))
	if err != nil {
		log.Fatal(err)
	}
	asNonces, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("as_dpop_nonces"))
	if err != nil {
		log.Fatal(err)
	}
	rsNonces, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("rs_dpop_nonces"))
	if err != nil {
		log.Fatal(err)
	}
	for _, nonces := range []*dpopnonce.Repository{asNonces, rsNonces} {
		nonces := nonces
		if err := nonces.Migrate(context.Background()); err != nil {
			log.Fatal(err)
		}
		go func() { _ = nonces.SweepEvery(context.Background(), time.Minute) }()
	}

	// Confidential clients at the token endpoint: each nonce is accepted once.
	as := &dpophttp.Guard{
		Nonces:   asNonces,
		Proof:    proofOf,
		OnReject: func(r *http.Request, err error) { log.Print(r.URL.Path, ": ", err) },
		OnError:  func(r *http.Request, err error) { log.Print(r.URL.Path, ": ", err) },
	}
	http.Handle("/token", authenticateClient(verifyProof(as.AuthorizationServer(token))))

	// Clients that send in parallel at the resource: a nonce is accepted until it
	// expires, and each proof once.
	rs := &dpophttp.Guard{
		Nonces: rsNonces,
		Policy: dpophttp.Window,
		Proof:  proofOf,
		Proofs: rsNonces,
		Algs:   "ES256 EdDSA",
	}
	http.Handle("/resource", authenticateToken(verifyProof(rs.ResourceServer(resource))))
}

// A server that verifies proofs inside its handlers.
func ExampleGuard_Accept() {
	var guard *dpophttp.Guard // Nonces, Policy and Proofs set, no Proof func

	_ = func(w http.ResponseWriter, r *http.Request) {
		p, verified := proofOf(r)
		if !verified {
			http.Error(w, "invalid_dpop_proof", http.StatusBadRequest)
			return
		}
		next, err := guard.Accept(r.Context(), p)
		dpophttp.SetNonce(w.Header(), next)
		switch {
		case err == nil:
			token(w, r)
		case errors.Is(err, dpopnonce.ErrRejected):
			http.Error(w, "use_dpop_nonce", http.StatusBadRequest)
		case errors.Is(err, dpopnonce.ErrReplayed):
			http.Error(w, "invalid_dpop_proof", http.StatusBadRequest)
		default: // a store failed: no challenge, no pass
			http.Error(w, "temporarily_unavailable", http.StatusServiceUnavailable)
		}
	}
}

// A client that cannot authenticate gets a nonce for its next attempt.
func ExampleGuard_Nonce() {
	var guard *dpophttp.Guard

	_ = func(w http.ResponseWriter, r *http.Request) {
		if nonce, err := guard.Nonce(r.Context()); err == nil {
			dpophttp.SetNonce(w.Header(), nonce)
		}
		http.Error(w, "invalid_client", http.StatusUnauthorized)
	}
}
