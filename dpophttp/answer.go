package dpophttp

import (
	"net/http"
	"strings"
)

// A role is what authorization servers and resource servers do differently.
type role struct {
	name          string   // of the Guard's method
	server        string   // in descriptions
	status        int      // of a refusal
	authenticates bool     // a refusal has a WWW-Authenticate header
	exposed       []string // headers for Access-Control-Expose-Headers
}

var (
	authorizationServer = role{
		name:    "AuthorizationServer",
		server:  "Authorization server",
		status:  http.StatusBadRequest,
		exposed: []string{"DPoP-Nonce"},
	}
	resourceServer = role{
		name:          "ResourceServer",
		server:        "Resource server",
		status:        http.StatusUnauthorized,
		authenticates: true,
		exposed:       []string{"DPoP-Nonce", "WWW-Authenticate"},
	}
)

// challenge asks for a proof with nonce, in the words of RFC 9449 sections 8
// and 9.
func (as *role) challenge(w http.ResponseWriter, nonce, algs string) {
	as.refuse(w, nonce, algs, "use_dpop_nonce", as.server+" requires nonce in DPoP proof")
}

// replayed refuses a proof that was accepted before.
func (as *role) replayed(w http.ResponseWriter, nonce, algs string) {
	as.refuse(w, nonce, algs, "invalid_dpop_proof", "DPoP proof was used before")
}

func (as *role) refuse(w http.ResponseWriter, nonce, algs, code, description string) {
	as.authenticate(w, algs, `error="`+code+`"`, `error_description="`+description+`"`)
	as.answer(w, as.status, nonce, code, description)
}

// unverified refuses a request without a verified proof. Its challenge has no
// error code, because the request may have no proof at all (RFC 6750 section
// 3.1).
func (as *role) unverified(w http.ResponseWriter, algs string) {
	as.authenticate(w, algs)
	as.answer(w, as.status, "", "invalid_dpop_proof", as.server+" requires a valid DPoP proof")
}

// unavailable answers a failure of the store.
func (as *role) unavailable(w http.ResponseWriter) {
	as.answer(w, http.StatusServiceUnavailable, "", "temporarily_unavailable", "Try again later")
}

// authenticate puts a challenge (RFC 9449 section 7.1) in front of those of outer
// layers: the AT Protocol client does not see one behind another, and would not
// retry.
func (as *role) authenticate(w http.ResponseWriter, algs string, params ...string) {
	if !as.authenticates {
		return
	}
	if algs != "" {
		params = append(params, `algs="`+algs+`"`)
	}
	challenge := strings.TrimSpace("DPoP " + strings.Join(params, ", "))
	w.Header()["Www-Authenticate"] = append([]string{challenge}, w.Header()["Www-Authenticate"]...)
}

// answer writes an error response in the form of RFC 6749 section 5.2.
func (as *role) answer(w http.ResponseWriter, status int, nonce, code, description string) {
	headers{nonce, false, as.exposed}.set(w.Header())
	setOnly(w.Header(), "Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"error":"` + code + `","error_description":"` + description + `"}` + "\n"))
}
