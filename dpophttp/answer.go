package dpophttp

import (
	"net/http"
	"strings"
)

// A role is what an authorization server and a resource server do differently.
type role struct {
	name    string
	exposed []string // the headers that scripts of a browser may read

	// challenge asks for a proof with the nonce that the headers have, and
	// refuse for a proof.
	challenge, refuse func(w http.ResponseWriter, algs string)
	fail              func(w http.ResponseWriter)
}

// The descriptions of use_dpop_nonce are RFC 9449's.
var (
	authorizationServer = role{
		name:    "AuthorizationServer",
		exposed: []string{"DPoP-Nonce"},
		challenge: func(w http.ResponseWriter, _ string) {
			writeError(w, http.StatusBadRequest, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof")
		},
		refuse: func(w http.ResponseWriter, _ string) {
			writeError(w, http.StatusBadRequest, "invalid_dpop_proof", "Authorization server requires a valid DPoP proof")
		},
		fail: func(w http.ResponseWriter) {
			writeError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "Try again later")
		},
	}
	resourceServer = role{
		name:    "ResourceServer",
		exposed: []string{"DPoP-Nonce", "WWW-Authenticate"},
		challenge: func(w http.ResponseWriter, algs string) {
			authenticate(w, `error="use_dpop_nonce"`, `error_description="Resource server requires nonce in DPoP proof"`, algs)
		},
		// No error code: the request may have had no proof at all (RFC 6750
		// section 3.1).
		refuse: func(w http.ResponseWriter, algs string) { authenticate(w, algs) },
		fail:   func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
	}
)

// prepare sets the headers of a response of the Guard's own.
func (as *role) prepare(w http.ResponseWriter, nonce string) {
	headers{nonce, as.exposed}.set(w.Header())
	w.Header().Set("Cache-Control", "no-store")
}

// writeError is an error response of RFC 6749 section 5.2.
func writeError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
}

// authenticate is a challenge of RFC 9449 section 7.1. The last of its
// parameters is the list of algorithms.
func authenticate(w http.ResponseWriter, params ...string) {
	last := len(params) - 1
	if params[last] == "" {
		params = params[:last]
	} else {
		params[last] = `algs="` + params[last] + `"`
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace("DPoP "+strings.Join(params, ", ")))
	w.WriteHeader(http.StatusUnauthorized)
}
