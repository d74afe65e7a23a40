package main

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// A policy says how a server judges nonces. Each has what its Guard needs.
type policy struct {
	name  string
	guard func(stored, sealing *dpopnonce.Repository, sealer *dpopnonce.Sealer) *dpophttp.Guard
}

var policies = []policy{
	{"SingleUse, stored", func(stored, _ *dpopnonce.Repository, _ *dpopnonce.Sealer) *dpophttp.Guard {
		return &dpophttp.Guard{Nonces: stored}
	}},
	{"SingleUse, WithSealer", func(_, sealing *dpopnonce.Repository, _ *dpopnonce.Sealer) *dpophttp.Guard {
		return &dpophttp.Guard{Nonces: sealing}
	}},
	{"Window, stored", func(stored, _ *dpopnonce.Repository, _ *dpopnonce.Sealer) *dpophttp.Guard {
		return &dpophttp.Guard{Policy: dpophttp.Window, Nonces: stored, Proofs: stored}
	}},
	{"Window, Sealer", func(stored, _ *dpopnonce.Repository, sealer *dpopnonce.Sealer) *dpophttp.Guard {
		return &dpophttp.Guard{Policy: dpophttp.Window, Nonces: sealer, Proofs: stored}
	}},
}

// A server is a token endpoint of public clients, whom nothing but the proof
// authenticates.
type server struct {
	db  *database
	url string
	*httptest.Server
}

func start(ctx context.Context, db *database, p policy) (*server, error) {
	if err := db.WithContext(ctx).Exec("DROP TABLE IF EXISTS " + table).Error; err != nil {
		return nil, err
	}
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "flood", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return nil, err
	}
	stored, err := dpopnonce.NewRepository(db.DB, dpopnonce.WithTable(table))
	if err != nil {
		return nil, err
	}
	sealing, err := dpopnonce.NewRepository(db.DB, dpopnonce.WithTable(table), dpopnonce.WithSealer(sealer))
	if err != nil {
		return nil, err
	}
	if err := stored.Migrate(ctx); err != nil {
		return nil, err
	}
	s := &server{db: db}
	guard := p.guard(stored, sealing, sealer)
	guard.Proof = func(r *http.Request) (dpophttp.Proof, bool) { return verify(r, s.url) }
	s.Server = httptest.NewServer(guard.AuthorizationServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})))
	s.url = s.URL + "/token"
	return s, nil
}
