// Package dpophttp puts the nonces of package dpopnonce into the request path
// of a net/http server: it challenges proofs without an acceptable nonce, and
// hands out the next one (RFC 9449 sections 8 and 9).
//
// A [Guard] is middleware. It comes after whatever verifies the DPoP proof,
// since a nonce may only be spent by a proof that is good in every other
// respect, and before the handler that answers the request:
//
//	CORS → client or token authentication → proof verification → Guard → handler
//
// Requests without a proof that has been verified never reach the store.
package dpophttp
