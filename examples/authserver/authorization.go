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

// metadata is RFC 8414's.
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

// authenticate lets the registered client pass, with a request that the token
// endpoint can answer: what is wrong with it otherwise must not cost a nonce.
func (as authorizationServer) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		id, secret, _ := r.BasicAuth()
		switch {
		case !same(id, as.config.clientID) || !same(secret, as.config.clientSecret):
			w.Header().Set("WWW-Authenticate", "Basic")
			writeError(w, http.StatusUnauthorized, "invalid_client", "the client is not registered, or its secret is another")
		case r.ParseForm() != nil:
			writeError(w, http.StatusBadRequest, "invalid_request", "the body is no form")
		case r.PostForm.Get("grant_type") != "client_credentials":
			writeError(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type has to be client_credentials")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// same compares a credential, which a form-encoding has been applied to (RFC
// 6749 section 2.3.1), in constant time.
func same(encoded, want string) bool {
	got, err := url.QueryUnescape(encoded)
	return err == nil && subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// verify hands the proof on, if there is a good one. The Guard answers
// otherwise.
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
		writeError(w, http.StatusInternalServerError, "server_error", "no token could be issued")
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
