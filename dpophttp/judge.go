package dpophttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
)

// Accept judges a proof as the handlers of g do, for servers that verify proofs
// inside a handler, and for gRPC and others that have no ResponseWriter of
// net/http. Verify the proof first.
//
// It returns nil if the request may pass, and [dpopnonce.ErrRejected] if the
// proof needs another nonce: answer use_dpop_nonce. Under Window with Proofs it
// returns [dpopnonce.ErrReplayed] for a proof that was accepted before: answer
// invalid_dpop_proof. With each of these three it also returns the nonce for the
// response (see [SetNonce]), which under Window may be that of the proof. Any
// other error is a failure of the server (503), without a nonce; the proof may
// or may not be spent.
//
// A Guard for Accept alone needs no Proof func. One with an invalid field fails
// here. Accept calls neither OnReject nor OnError.
func (g *Guard) Accept(ctx context.Context, p Proof) (next string, err error) {
	if why := g.unfit(); why != "" {
		return "", errors.New("dpophttp: Accept: " + why)
	}
	return g.judge(ctx, p)
}

// Nonce returns a nonce to offer where no proof was judged: beside
// invalid_client, at an endpoint for nonces, or while proofs do not need one
// yet. Under Window it is the current nonce. Under SingleUse it is a new one,
// which takes a row unless the store has dpopnonce.WithSealer: offer it only where
// the rate of requests is limited.
func (g *Guard) Nonce(ctx context.Context) (string, error) {
	if why := g.unfit(); why != "" {
		return "", errors.New("dpophttp: Nonce: " + why)
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	if g.Policy == Window {
		return g.currentNonce(ctx)
	}
	return g.issue(ctx)
}

// judge returns the nonce for the response beside nil, a rejection and a replay,
// and "" beside a failure.
func (g *Guard) judge(ctx context.Context, p Proof) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout())
	defer cancel()
	switch {
	case ctx.Err() != nil: // the client is gone: nothing needs to be spent
	case g.Policy == SingleUse:
		next, err = g.Nonces.(Rotator).Rotate(ctx, p.Nonce, g.ttl())
	case g.Proofs != nil && p.ID == "":
		err = errors.New("dpophttp: Proof without ID")
	default:
		next, err = g.judgeWindow(ctx, p)
	}
	switch judged := err == nil || errors.Is(err, dpopnonce.ErrRejected) || errors.Is(err, dpopnonce.ErrReplayed); {
	case !judged:
		return "", err
	case ctx.Err() != nil: // also if the store did not look at it
		return "", fmt.Errorf("dpophttp: %w", ctx.Err())
	case next == "": // %v turns a rejection into a failure: no challenge goes without a nonce
		return "", fmt.Errorf("dpophttp: %T returned no nonce: %v", g.Nonces, err)
	}
	return next, err
}

// judgeWindow checks the nonce and then spends the proof.
//
// A proof is spent until every nonce that it may have been accepted with has
// expired on every node: the clock is read before the nonce is checked, and a
// nonce may have been issued up to Tolerance ahead of it. By the time the proof
// is spent, its nonce may have expired and the row of an earlier acceptance may
// be swept. Where the second has changed, the nonce is therefore checked again.
// internal/model shows a second acceptance without any of this.
func (g *Guard) judgeWindow(ctx context.Context, p Proof) (next string, err error) {
	began := g.now()
	next, err = g.beside(ctx, p.Nonce, g.Nonces.Check(ctx, p.Nonce, g.ttl()))
	if err != nil || g.Proofs == nil {
		return next, err
	}
	if ctx.Err() != nil { // the proof need not be spent
		return "", fmt.Errorf("dpophttp: %w", ctx.Err())
	}
	err = g.Proofs.Spend(ctx, p.ID, began.Add(g.ttl()).Add(dpopnonce.Tolerance))
	switch {
	case err == nil && g.now().Unix() != began.Unix():
		return g.beside(ctx, p.Nonce, g.Nonces.Check(ctx, p.Nonce, g.ttl()))
	case errors.Is(err, dpopnonce.ErrRejected): // out of time by the clock of Proofs
		return g.beside(ctx, p.Nonce, err)
	}
	return next, err
}

// beside returns the current nonce beside the verdict on the nonce of a proof.
func (g *Guard) beside(ctx context.Context, nonce string, verdict error) (next string, err error) {
	switch {
	case errors.Is(verdict, dpopnonce.ErrRejected):
		g.current.drop(nonce) // the challenge must carry another one
	case verdict != nil:
		return "", verdict
	}
	next, err = g.currentNonce(ctx)
	switch {
	case err != nil:
		return "", err
	case verdict != nil && next == nonce: // the client would send it again, and again
		return "", fmt.Errorf("dpophttp: the current nonce was rejected: are the clocks of the Guard and its stores apart? %v", verdict)
	}
	return next, verdict
}

// issue returns a new nonce.
func (g *Guard) issue(ctx context.Context) (string, error) {
	nonce, err := g.Nonces.Issue(ctx, g.ttl())
	if err == nil && nonce == "" {
		err = fmt.Errorf("dpophttp: %T issued no nonce", g.Nonces)
	}
	return nonce, err
}

func (g *Guard) ttl() time.Duration {
	if g.TTL == 0 {
		return dpopnonce.DefaultTTL
	}
	return g.TTL
}

func (g *Guard) timeout() time.Duration {
	if g.Timeout == 0 {
		return 5 * time.Second
	}
	return g.Timeout
}

// now reads the wall clock, as the store does. Round(0) drops the monotonic
// reading, which stands still while the machine is suspended.
func (g *Guard) now() time.Time {
	if g.Clock == nil {
		return time.Now().Round(0)
	}
	return g.Clock().Round(0)
}
