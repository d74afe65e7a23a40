package dpophttp

import (
	"context"
	"time"
)

// Nonces is the store that a Guard asks; *dpopnonce.Repository implements it,
// and for Window also *dpopnonce.Sealer. Check gets the nonce of the proof as it
// is, "" if it has none, and rejects it with an error that is
// [dpopnonce.ErrRejected].
//
// If it also has the method Current(ttl time.Duration) (string, error), as a
// Sealer does, Window takes its current nonce from there, and all nodes have the
// same. Else each Guard under Window issues one of its own.
type Nonces interface {
	Issue(ctx context.Context, ttl time.Duration) (string, error)
	Check(ctx context.Context, nonce string, ttl time.Duration) error
}

// Rotator is what SingleUse needs of its Nonces besides; *dpopnonce.Repository
// implements it. Rotate gets the nonce as Check does, and returns a successor
// beside every rejection.
type Rotator interface {
	Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error)
}

// Proofs remembers accepted proofs; *dpopnonce.Repository implements it. Of all
// callers with one id, on all nodes, Spend returns nil to exactly one until
// until, and [dpopnonce.ErrReplayed] to the others.
type Proofs interface {
	Spend(ctx context.Context, id string, until time.Time) error
}

// sharing is what Nonces may have besides: one current nonce for all nodes.
type sharing interface {
	Current(ttl time.Duration) (string, error)
}

// Policy says how often a nonce is accepted.
type Policy int

const (
	// SingleUse accepts a nonce once. Every response carries the next nonce,
	// accepted or rejected, at one call of the store, Rotate. A client that sends
	// parallel requests with one nonce is challenged for all but one of them.
	//
	// The table holds up to (rate of challenges) × (TTL + interval of sweeps)
	// rows, with dpopnonce.WithSealer one for each accepted request. Without it
	// mount the Guard behind client or token authentication, and for public
	// clients limit the rate or use Window.
	SingleUse Policy = iota

	// Window accepts a nonce until it expires, and with Proofs each proof once
	// (RFC 9449 section 11.1). All responses of a Guard carry the same current
	// nonce, which is replaced at half its TTL. A challenge stores no row: the
	// nonces' rows do not depend on the number of requests, and the proofs' are
	// one for each accepted request.
	Window
)

// A Proof is what the application's verifier found in a valid DPoP proof.
type Proof struct {
	// Nonce is the nonce claim, "" if there is none.
	Nonce string

	// ID identifies the proof: the thumbprint of its key, ".", and its jti, all
	// verified. Nothing else: not the JWT's text, which has more than one form,
	// and nothing of the request. It is needed where Guard.Proofs is set.
	ID string
}
