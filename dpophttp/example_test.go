package dpophttp_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// The application keeps the verified proof of a request in its context.
type verifiedProof struct{ nonce string }

type proofKey struct{}

func proofOf(r *http.Request) (nonce string, verified bool) {
	proof, ok := r.Context().Value(proofKey{}).(verifiedProof)
	return proof.nonce, ok
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
		Nonces:     asNonces,
		NonceClaim: proofOf,
		OnReject:   func(r *http.Request, err error) { log.Print(r.URL.Path, ": ", err) },
		OnError:    func(r *http.Request, err error) { log.Print(r.URL.Path, ": ", err) },
	}
	http.Handle("/token", authenticateClient(verifyProof(as.AuthorizationServer(token))))

	// Clients that send in parallel at the resource: a nonce is accepted until it
	// expires, and verifyProof refuses a jti that it has seen.
	rs := &dpophttp.Guard{
		Nonces:     rsNonces,
		Policy:     dpophttp.Window,
		NonceClaim: proofOf,
		Algs:       "ES256 EdDSA",
	}
	http.Handle("/resource", authenticateToken(verifyProof(rs.ResourceServer(resource))))
}
