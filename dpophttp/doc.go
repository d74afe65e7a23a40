// Package dpophttp puts the nonces of package dpopnonce into the request path
// of a net/http server. It challenges proofs without an acceptable nonce and
// sends the next nonce to the client (RFC 9449 sections 8 and 9).
//
// A [Guard] is middleware. Mount it behind the verification of the DPoP proof,
// so that invalid proofs cannot spend anything, and in front of the handler that
// answers the request:
//
//	CORS → client or token authentication → proof verification → Guard → handler
//
// Requests without a verified proof never reach a store. Of the others the nonce
// is judged first, and under [Window] the proof is spent last, with nothing
// between it and the handler: a proof without an acceptable nonce costs no row.
//
// [Guard.Accept] is the same judgement for servers that verify proofs inside a
// handler.
//
// # The handler's ResponseWriter
//
// It can do what the writer that the Guard was given can: flush, hijack, push,
// report a client that went away, and everything of http.ResponseController. It
// always has the methods; where the writer below cannot, they fail with
// http.ErrNotSupported. Only http.MaxBytesReader does not tell net/http to close
// the connection, as behind every wrapper: mount http.MaxBytesHandler in front.
//
// A handler that hijacks writes its own response. Header has the next nonce for
// it: httputil.ReverseProxy sends it, and gorilla/websocket if it is given the
// header, as in upgrader.Upgrade(w, r, w.Header()).
//
// Mount http.TimeoutHandler behind the Guard. In front of it, the response of a
// request that takes too long has none of the Guard's headers, and the client
// is challenged for its next one.
package dpophttp
