package recipes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// iatAge is how old a proof without a nonce may be by its iat, and how far ahead.
const iatAge = time.Minute

// PerRequest demands a nonce where demand says so: for a payment, for clients
// that are known to send one, or step by step when nonces are new. Other proofs
// pass without a nonce, each once, and are offered one. A nonce that is there is
// judged in any case, and so is a proof whose iat is not near: a client whose
// clock is off is challenged, and served with the nonce.
//
// The Guard is that of Window.
func PerRequest(app *Application, guard *dpophttp.Guard, demand func(*http.Request) bool, next http.Handler) http.Handler {
	guarded := guard.ResourceServer(next)
	return app.Authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := callerOf(r.Context())
		p, verified := proofOf(r)
		if !verified || p.Nonce != "" || demand(r) || time.Until(caller.IssuedAt) > iatAge {
			guarded.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		nonce, err := guard.Nonce(ctx)
		if err == nil { // nothing is spent without a nonce to hand out
			err = guard.Proofs.Spend(ctx, p.ID, caller.IssuedAt.Add(iatAge))
		}
		switch {
		case err == nil:
			dpophttp.SetNonce(w.Header(), nonce)
			next.ServeHTTP(w, r)
		case errors.Is(err, dpopnonce.ErrExpired): // the iat is too old
			guarded.ServeHTTP(w, r)
		case errors.Is(err, dpopnonce.ErrReplayed):
			dpophttp.SetNonce(w.Header(), nonce)
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_dpop_proof"`)
			writeError(w, http.StatusUnauthorized, "invalid_dpop_proof")
		default:
			writeError(w, http.StatusServiceUnavailable, unavailable)
		}
	}))
}
