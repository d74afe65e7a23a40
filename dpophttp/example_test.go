package dpophttp_test

import (
	"context"
	"encoding/json"
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

// refuse answers in the form of RFC 6749 section 5.2, in which clients look for
// use_dpop_nonce.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

func Example() {
	db, err := gorm.Open(sqlite.Open("file:nonces.db?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"))
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

// A token endpoint that verifies proofs inside its handler.
func ExampleGuard_Accept() {
	var guard *dpophttp.Guard // Nonces, Policy and Proofs set, no Proof func

	_ = func(w http.ResponseWriter, r *http.Request) {
		p, verified := proofOf(r)
		if !verified {
			refuse(w, http.StatusBadRequest, "invalid_dpop_proof") // {"error":"invalid_dpop_proof"}
			return
		}
		next, err := guard.Accept(r.Context(), p)
		dpophttp.SetNonce(w.Header(), next)
		switch {
		case err == nil:
			token(w, r)
		case errors.Is(err, dpopnonce.ErrRejected):
			refuse(w, http.StatusBadRequest, "use_dpop_nonce")
		case errors.Is(err, dpopnonce.ErrReplayed):
			refuse(w, http.StatusBadRequest, "invalid_dpop_proof")
		default: // a store failed: no challenge, no pass
			refuse(w, http.StatusServiceUnavailable, "temporarily_unavailable")
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
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint"`)
		refuse(w, http.StatusUnauthorized, "invalid_client")
	}
}
