package main

import (
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/attesto/dpopnonce/dpophttp"
)

type authorizationServer struct {
	config config
	tokens tokens
	store  *store
	guard  *dpophttp.Guard
	log    *slog.Logger
}

// metadata serves the document of RFC 8414.
func (as authorizationServer) metadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         as.config.issuer,
		"token_endpoint":                                 as.config.issuer + "/token",
		"authorization_endpoint":                         as.config.issuer + "/authorize",
		"pushed_authorization_request_endpoint":          as.config.issuer + "/par",
		"require_pushed_authorization_requests":          true,
		"authorization_response_iss_parameter_supported": true,
		"response_types_supported":                       []string{"code"},
		"code_challenge_methods_supported":               []string{"S256"},
		"grant_types_supported":                          []string{"authorization_code", "client_credentials"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
		"dpop_signing_alg_values_supported":              proofAlgNames,
	})
}

// An oauthError is an error code of RFC 6749 section 5.2 and a description.
type oauthError struct{ code, description string }

func (e oauthError) Error() string { return e.code + ": " + e.description }

// authenticate passes requests of the registered client whose form passes check.
// It comes before the Guard, so that other requests cannot spend nonces.
func (as authorizationServer) authenticate(check func(*http.Request) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		id, secret, _ := r.BasicAuth()
		var fault oauthError
		switch {
		case !same(id, as.config.clientID) || !same(secret, as.config.clientSecret):
			w.Header().Set("WWW-Authenticate", `Basic realm="authserver"`)
			as.refuse(w, r, http.StatusUnauthorized, oauthError{"invalid_client", "the client is not registered, or its secret is wrong"})
		case r.ParseForm() != nil:
			as.refuse(w, r, http.StatusBadRequest, oauthError{"invalid_request", "the body is not a form"})
		case r.PostForm.Has("client_id") && r.PostForm.Get("client_id") != as.config.clientID:
			as.refuse(w, r, http.StatusBadRequest, oauthError{"invalid_request", "client_id is another client"})
		case errors.As(check(r), &fault):
			as.refuse(w, r, http.StatusBadRequest, fault)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// refuse answers a request that no Guard has seen, and offers a nonce all the
// same: the next request then needs no challenge.
func (as authorizationServer) refuse(w http.ResponseWriter, r *http.Request, status int, fault oauthError) {
	nonce, err := as.guard.Nonce(r.Context())
	if err != nil {
		as.log.ErrorContext(r.Context(), "store", "path", r.URL.Path, "error", err)
	}
	dpophttp.SetNonce(w.Header(), nonce)
	writeError(w, status, fault.code, fault.description)
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
		p, err := verifyProof(r, as.config.issuer, "")
		if err == nil {
			r = withProof(r, p)
		} else {
			as.log.InfoContext(r.Context(), "proof rejected", "path", r.URL.Path, "error", err)
		}
		next.ServeHTTP(w, r)
	})
}

func checkGrant(r *http.Request) error {
	switch r.PostForm.Get("grant_type") {
	case "client_credentials", "authorization_code":
		return nil
	}
	return oauthError{"unsupported_grant_type", "grant_type must be authorization_code or client_credentials"}
}

// token issues an access token, bound to the key of the proof. A code is taken
// behind the Guard only: a challenge does not cost the client its code.
func (as authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	kind, thumbprint := "Bearer", "" // with -bearer, the Guard passes a request without a proof
	if p := proofOf(r); p != nil {
		kind, thumbprint = "DPoP", p.thumbprint
	}
	if r.PostForm.Get("grant_type") == "authorization_code" {
		err := as.redeem(r, thumbprint)
		if fault := (oauthError{}); errors.As(err, &fault) {
			writeError(w, http.StatusBadRequest, fault.code, fault.description)
			return
		} else if err != nil {
			as.fail(w, r, err)
			return
		}
	}
	token, err := as.tokens.issue(as.config.clientID, thumbprint)
	if err != nil {
		as.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token,
		"token_type":   kind,
		"expires_in":   int(tokenTTL.Seconds()),
	})
}

// fail answers a failure of the server.
func (as authorizationServer) fail(w http.ResponseWriter, r *http.Request, err error) {
	as.log.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	writeError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "try again later")
}
