package dpophttp

import (
	"net/http"
	"strings"
)

// A role holds what authorization servers and resource servers do differently.
type role struct {
	name    string
	exposed []string // headers for Access-Control-Expose-Headers

	challenge func(w http.ResponseWriter, algs string) // the nonce was rejected
	refuse    func(w http.ResponseWriter, algs string) // there is no verified proof
	fail      func(w http.ResponseWriter)              // the store failed
}

// The descriptions of use_dpop_nonce are those of RFC 9449 sections 8 and 9.
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
		// No error code, because the request may have no proof at all (RFC 6750
		// section 3.1).
		refuse: func(w http.ResponseWriter, algs string) { authenticate(w, algs) },
		fail:   func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
	}
)

// prepare sets the headers of a response that the Guard writes itself.
func (as *role) prepare(w http.ResponseWriter, nonce string) {
	headers{nonce, as.exposed}.set(w.Header())
	w.Header().Set("Cache-Control", "no-store")
}

// writeError writes an error response as of RFC 6749 section 5.2.
func writeError(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
}

// authenticate writes a challenge as of RFC 9449 section 7.1. The last of params
// is the list of algorithms, which may be empty.
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
