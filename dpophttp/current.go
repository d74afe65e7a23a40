package dpophttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// current holds the nonce that all responses of a Guard under Window carry, if
// its store has no Current.
type current struct {
	mu      sync.Mutex
	nonce   string
	replace time.Time // when the next nonce is due
	issuing *issuing  // the running Issue, or nil
}

// issuing is one Issue that concurrent requests wait for.
type issuing struct {
	began time.Time
	done  chan struct{} // closed when nonce and err are set
	nonce string
	err   error
}

// currentNonce returns the current nonce of the store or else of g. It issues a
// new one if there is none or if half the TTL has passed; concurrent callers
// share that Issue.
func (g *Guard) currentNonce(ctx context.Context) (string, error) {
	if store, ok := g.Nonces.(sharing); ok {
		nonce, err := store.Current(g.ttl())
		if err == nil && nonce == "" {
			err = fmt.Errorf("dpophttp: %T has no current nonce", store)
		}
		return nonce, err
	}
	now, c := g.now(), &g.current
	c.mu.Lock()
	if c.nonce != "" && now.Before(c.replace) {
		defer c.mu.Unlock()
		return c.nonce, nil
	}
	i := c.issuing
	if i == nil {
		i = &issuing{began: now, done: make(chan struct{})}
		c.issuing = i
		go g.issueCurrent(ctx, i)
	}
	c.mu.Unlock()
	select {
	case <-i.done:
		return i.nonce, i.err
	case <-ctx.Done():
		return "", fmt.Errorf("dpophttp: wait for a nonce: %w", ctx.Err())
	}
}

// issueCurrent runs i with the values of a request's context, but not with its
// end: a client that goes away does not cancel the Issue for the others. A store
// that hangs past the timeout holds this goroutine, and no request.
func (g *Guard) issueCurrent(ctx context.Context, i *issuing) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.timeout())
	defer cancel()
	finish := func(nonce string, err error) { g.current.finish(i, nonce, g.ttl(), err) }
	stop := context.AfterFunc(ctx, func() { finish("", fmt.Errorf("dpophttp: issue did not return: %w", ctx.Err())) })
	defer stop()
	nonce, err := "", errors.New("dpophttp: issue ended its goroutine")
	defer func() {
		if p := recover(); p != nil { // net/http recovers on its own goroutines only
			err = fmt.Errorf("dpophttp: issue panicked: %v", p)
		}
		finish(nonce, err)
	}()
	nonce, err = g.issue(ctx)
}

// finish answers those that wait for i. The first call counts.
func (c *current) finish(i *issuing, nonce string, ttl time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.issuing != i {
		return
	}
	if err == nil {
		c.nonce, c.replace = nonce, replaceAt(i.began, ttl.Truncate(time.Second))
	}
	c.issuing = nil
	i.nonce, i.err = nonce, err
	close(i.done)
}

// replaceAt returns when a nonce is to be replaced: half a ttl after it was
// issued, but not after it expires. Its issued_at is floored to whole seconds.
func replaceAt(issued time.Time, ttl time.Duration) time.Time {
	half, end := issued.Add(ttl/2), issued.Truncate(time.Second).Add(ttl)
	if half.After(end) {
		return end
	}
	return half
}

// drop forgets nonce if it is the current one. The store rejects such a nonce
// if its clock was moved or if the row is gone.
func (c *current) drop(nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nonce == nonce {
		c.nonce = ""
	}
}
