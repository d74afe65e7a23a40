package main

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
)

type authorizationServer struct {
	config config
	tokens tokens
	proofs verifier
	log    *slog.Logger
}

// metadata serves the document of RFC 8414.
func (as authorizationServer) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                as.config.issuer,
		"token_endpoint":                        as.config.issuer + "/token",
		"response_types_supported":              []string{},
		"grant_types_supported":                 []string{"client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		"dpop_signing_alg_values_supported":     proofAlgNames,
	})
}

// authenticate passes valid requests of the registered client. It comes before
// the Guard, so that other requests cannot spend nonces.
func (as authorizationServer) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		id, secret, _ := r.BasicAuth()
		switch {
		case !same(id, as.config.clientID) || !same(secret, as.config.clientSecret):
			w.Header().Set("WWW-Authenticate", "Basic")
			writeError(w, http.StatusUnauthorized, "invalid_client", "the client is not registered, or its secret is wrong")
		case r.ParseForm() != nil:
			writeError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		case r.PostForm.Get("grant_type") != "client_credentials":
			writeError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type must be client_credentials")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// same compares a form-encoded credential (RFC 6749 section 2.3.1) with its
// value, in constant time.
func same(encoded, want string) bool {
	got, err := url.QueryUnescape(encoded)
	return err == nil && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// verify passes every request on, with its proof if that is valid. The Guard
// answers requests without a verified proof.
func (as authorizationServer) verify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := as.proofs.verify(r, "")
		switch {
		case err == nil:
			r = withProof(r, p)
		case errors.Is(err, errProof):
			as.log.InfoContext(r.Context(), "proof rejected", "path", r.URL.Path, "error", err)
		default:
			as.log.ErrorContext(r.Context(), "proof store", "path", r.URL.Path, "error", err)
			writeError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "try again later")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (as authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	id, _, _ := r.BasicAuth()
	token, err := as.tokens.issue(id, proofOf(r).thumbprint)
	if err != nil {
		as.log.ErrorContext(r.Context(), "access token", "error", err)
		writeError(w, http.StatusInternalServerError, "server_error", "the token could not be issued")
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token,
		"token_type":   "DPoP",
		"expires_in":   int(tokenTTL.Seconds()),
	})
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
