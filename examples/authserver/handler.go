package main

import (
	"encoding/json"
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
	tokens := tokens{issuer: c.issuer, key: s.key}
	rs, rsGuard := resourceServer{config: c, tokens: tokens, log: log}, newGuard(c, s, log)
	as := authorizationServer{config: c, tokens: tokens, store: s, guard: newGuard(c, s, log), log: log}
	guarded := func(check func(*http.Request) error, endpoint http.HandlerFunc) http.Handler {
		return as.authenticate(check, as.verify(as.guard.AuthorizationServer(endpoint)))
	}
	mux := http.NewServeMux()
	handlers := map[string]http.Handler{
		"GET /healthz": http.HandlerFunc(s.health),
		"GET /.well-known/oauth-authorization-server": http.HandlerFunc(as.metadata),
		"GET /authorize": http.HandlerFunc(as.authorize),
		"POST /par":      guarded(as.checkPushed, as.push),
		"POST /token":    guarded(checkGrant, as.token),
		"GET /resource":  rs.authenticate(rsGuard.ResourceServer(http.HandlerFunc(rs.resource))), // and HEAD
	}
	if s.metrics != nil { // in production, where clients do not reach it
		handlers["GET /metrics"] = s.metrics.handler
	}
	for pattern, handler := range handlers {
		mux.Handle(pattern, handler)
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { // any other method
			w.Header().Set("Allow", strings.Replace(method, "GET", "GET, HEAD", 1))
			writeError(w, http.StatusMethodNotAllowed, "invalid_request", "the method is not allowed here")
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "invalid_request", "nothing is here")
	})
	if c.origin == "" {
		return mux
	}
	return cors.New(cors.Options{
		AllowedOrigins: []string{c.origin},
		AllowedMethods: []string{"GET", "HEAD", "POST"},
		AllowedHeaders: []string{"Authorization", "Content-Type", "DPoP"},
		ExposedHeaders: []string{"DPoP-Nonce", "WWW-Authenticate"}, // also on what no Guard answers
		MaxAge:         7200,                                       // seconds; browsers keep a preflight for 5 by default
	}).Handler(mux)
}

// newGuard returns the Guard of one role. Both share their nonces, because
// clients keep one nonce for each origin.
func newGuard(c config, s *store, log *slog.Logger) *dpophttp.Guard {
	g := &dpophttp.Guard{
		Nonces:   s.nonces,
		Policy:   c.policy,
		TTL:      c.ttl,
		Proof:    guardProof,
		Optional: c.bearer,
		Clock:    c.now,
		Algs:     strings.Join(proofAlgNames, " "),
		OnReject: func(r *http.Request, err error) {
			log.InfoContext(r.Context(), "proof refused", "path", r.URL.Path, "reason", reason(err))
		},
		OnError: func(r *http.Request, err error) {
			log.ErrorContext(r.Context(), "store", "path", r.URL.Path, "error", err)
		},
	}
	if c.policy == dpophttp.Window {
		g.Nonces = s.sealer
		g.ProofsElsewhere = !c.proofs // which is not true: serve warns
		if c.proofs {
			g.Proofs = s.nonces
		}
	}
	return g
}

// reason names a refusal in the log.
func reason(err error) string {
	for reason, is := range map[string]error{
		"missing": dpopnonce.ErrMissing, "unknown": dpopnonce.ErrUnknown, "expired": dpopnonce.ErrExpired,
		"used": dpopnonce.ErrUsed, "replayed": dpopnonce.ErrReplayed,
	} {
		if errors.Is(err, is) {
			return reason
		}
	}
	return "not valid"
}

func writeError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
