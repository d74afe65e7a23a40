package recipes

import (
	"context"
	"net/http"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

// iatAge is how old a proof without a nonce may be by its iat, and how far ahead.
// It is at most half of the Guard's TTL, for which such a proof is remembered.
const iatAge = time.Minute

// PerRequest demands a nonce where demand says so: for a payment, for clients
// that are known to send one, or step by step when nonces are new. Other proofs
// pass without a nonce, each once, and are offered one. A nonce that is there is
// judged in any case, and so is a proof whose iat is not near: a client whose
// clock is off is challenged, and served with the nonce.
//
// The Guard is that of Window, and this resource's alone: its Nonces are changed.
func PerRequest(app *Application, guard *dpophttp.Guard, demand func(*http.Request) bool, next http.Handler) http.Handler {
	guard.Nonces = offered{guard.Nonces.(*dpopnonce.Sealer)}
	guarded := guard.ResourceServer(next)
	return app.Authenticate(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guarded.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), demandKey{}, demand(r))))
	}))
}

type demandKey struct{}

// offered are nonces that a proof may do without where none is demanded. The
// Guard does the rest: it spends the proof, and hands out the nonce.
type offered struct{ *dpopnonce.Sealer }

func (o offered) Check(ctx context.Context, nonce string, ttl time.Duration) error {
	demanded, known := ctx.Value(demandKey{}).(bool)
	caller := callerOf(ctx)
	if known && !demanded && !caller.HasNonce && time.Since(caller.IssuedAt).Abs() <= iatAge {
		return nil
	}
	return o.Sealer.Check(ctx, nonce, ttl)
}
