package recipes

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// TokenEndpoint verifies and judges the proof inside its handler, behind the
// authentication of the client: nobody else spends a nonce. The Guard is that of
// SingleUse.
func TokenEndpoint(origin string, guard *dpophttp.Guard,
	authenticate func(*http.Request) bool, issue func(thumbprint string) (token string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !authenticate(r) {
			// With a nonce, the next attempt needs no challenge. It is sealed, and
			// costs no row. Where there is none to be had, the answer is the same.
			nonce, _ := guard.Nonce(r.Context())
			dpophttp.SetNonce(w.Header(), nonce)
			w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint"`)
			writeError(w, http.StatusUnauthorized, "invalid_client")
			return
		}
		p, err := verifyProof(r.Header.Values("DPoP"), r.Method, origin, r.URL.EscapedPath(), "")
		if err != nil {
			writeError(w, http.StatusBadRequest, "invalid_dpop_proof")
			return
		}
		next, err := guard.Accept(r.Context(), dpophttp.Proof{Nonce: p.claims.Nonce.text})
		dpophttp.SetNonce(w.Header(), next) // accepted or not
		switch {
		case err == nil:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]string{"access_token": issue(p.thumbprint), "token_type": "DPoP"})
		case errors.Is(err, dpopnonce.ErrRejected):
			writeError(w, http.StatusBadRequest, "use_dpop_nonce")
		default: // the store failed: no challenge, no pass
			writeError(w, http.StatusServiceUnavailable, unavailable)
		}
	}
}
