package recipes

import (
	"context"
	"errors"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpophttp"
)

const unavailable = "temporarily_unavailable"

// accept verifies and judges a proof where there is no ResponseWriter of
// net/http: fiber.go, connect.go and grpc.go answer in their own ways.
//
// It returns the nonce for the response, "" for none, and the OAuth error code,
// "" if the request may pass.
func accept(ctx context.Context, app *Application, guard *dpophttp.Guard,
	method, path string, authorization, dpop []string) (caller Caller, nonce, code string) {
	caller, err := app.Verify(method, path, authorization, dpop)
	if err == nil {
		nonce, err = guard.Accept(ctx, caller.Proof)
	}
	switch {
	case err == nil:
		return caller, nonce, ""
	case errors.Is(err, errToken):
		code = "invalid_token"
	case errors.Is(err, errProof), errors.Is(err, dpopnonce.ErrReplayed):
		code = "invalid_dpop_proof"
	case errors.Is(err, dpopnonce.ErrRejected):
		code = "use_dpop_nonce"
	default: // a store failed: no challenge, no pass; log err
		code = unavailable
	}
	return Caller{}, nonce, code
}
