// Package dpophttp puts the nonces of package dpopnonce into the request path
// of a net/http server. It challenges proofs without an acceptable nonce and
// sends the next nonce to the client (RFC 9449 sections 8 and 9).
//
// A [Guard] is middleware. Mount it behind the verification of the DPoP proof,
// so that invalid proofs cannot spend nonces, and in front of the handler that
// answers the request:
//
//	CORS → client or token authentication → proof verification → Guard → handler
//
// Requests without a verified proof never reach the store.
package dpophttp
