package recipes

import (
	"net/http"

	"github.com/attesto/dpopnonce/dpophttp"
)

// NonceEndpoint hands out the current nonce, so that a client's first request
// needs no challenge: http.Handle("GET /nonce", NonceEndpoint(guard)). It also
// answers HEAD. Under Window it costs no row. OpenID4VCI's nonce endpoint may
// carry the nonce in the same way.
func NonceEndpoint(guard *dpophttp.Guard) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		nonce, err := guard.Nonce(r.Context())
		if err != nil {
			writeError(w, http.StatusServiceUnavailable, unavailable)
			return
		}
		dpophttp.SetNonce(w.Header(), nonce) // with Cache-Control: no-store
		w.WriteHeader(http.StatusNoContent)
	}
}
