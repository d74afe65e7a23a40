package main

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
	"github.com/rs/cors"
)

// newHandler mounts the layers of both roles in this order:
//
//	CORS → client or token authentication → proof verification → Guard → handler
func newHandler(c config, s *store, log *slog.Logger) http.Handler {
	proofs := verifier{issuer: c.issuer, seen: s.first, keep: max(c.ttl, 2*maxSkew)}
	tokens := tokens{issuer: c.issuer, key: s.key}
	as := authorizationServer{config: c, tokens: tokens, proofs: proofs, log: log}
	rs := resourceServer{tokens: tokens, proofs: proofs, log: log}
	guard := func(nonces *dpopnonce.Repository) *dpophttp.Guard {
		return &dpophttp.Guard{
			Nonces:          nonces,
			TTL:             c.ttl,
			Policy:          c.policy,
			Proof:           guardProof,
			ProofsElsewhere: true, // the verifier refuses a jti that it has seen
			Algs:            strings.Join(proofAlgNames, " "),
			OnReject: func(r *http.Request, err error) {
				log.InfoContext(r.Context(), "nonce rejected", "path", r.URL.Path, "reason", reason(err))
			},
			OnError: func(r *http.Request, err error) {
				log.ErrorContext(r.Context(), "nonce store", "path", r.URL.Path, "error", err)
			},
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", as.metadata)
	mux.Handle("POST /token", as.authenticate(as.verify(guard(s.as).AuthorizationServer(http.HandlerFunc(as.token)))))
	mux.Handle("GET /resource", rs.authenticate(guard(s.rs).ResourceServer(http.HandlerFunc(rs.resource))))
	if c.origin == "" {
		return mux
	}
	return cors.New(cors.Options{
		AllowedOrigins: []string{c.origin},
		AllowedMethods: []string{"GET", "POST"},
		AllowedHeaders: []string{"Authorization", "Content-Type", "DPoP"},
		ExposedHeaders: []string{"WWW-Authenticate"}, // the Guards add DPoP-Nonce
	}).Handler(mux)
}

// reason names a rejection in the log.
func reason(err error) string {
	for reason, is := range map[string]error{
		"missing": dpopnonce.ErrMissing, "unknown": dpopnonce.ErrUnknown,
		"expired": dpopnonce.ErrExpired, "used": dpopnonce.ErrUsed,
	} {
		if errors.Is(err, is) {
			return reason
		}
	}
	return "not valid"
}
