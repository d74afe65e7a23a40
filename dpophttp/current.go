package dpophttp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// issueTimeout bounds an Issue that no request can cancel.
const issueTimeout = 30 * time.Second

// current holds the nonce that all responses of a Guard under Window carry.
type current struct {
	mu      sync.Mutex
	nonce   string
	replace time.Time // when the next nonce is due
	issuing *issuing  // the running Issue, or nil

	now func() time.Time // set by tests; the wall clock if nil
}

// issuing is one Issue that concurrent requests wait for.
type issuing struct {
	done  chan struct{} // closed when nonce and err are set
	nonce string
	err   error
}

// get returns the current nonce. It issues a new one if there is none or if
// half the ttl has passed; concurrent callers share that Issue.
func (c *current) get(ctx context.Context, nonces Nonces, ttl time.Duration) (string, error) {
	c.mu.Lock()
	if c.nonce != "" && c.time().Before(c.replace) {
		defer c.mu.Unlock()
		return c.nonce, nil
	}
	i := c.issuing
	if i == nil {
		i = &issuing{done: make(chan struct{})}
		c.issuing = i
		go c.issue(i, nonces, ttl)
	}
	c.mu.Unlock()
	select {
	case <-i.done:
		return i.nonce, i.err
	case <-ctx.Done():
		return "", fmt.Errorf("dpophttp: wait for a nonce: %w", ctx.Err())
	}
}

// issue runs i. Its context belongs to no request, so that a client that goes
// away does not cancel the Issue for the others.
func (c *current) issue(i *issuing, nonces Nonces, ttl time.Duration) {
	began := c.time()
	ctx, cancel := context.WithTimeout(context.Background(), issueTimeout)
	defer cancel()
	i.err = errors.New("dpophttp: issue did not return")
	defer func() {
		if p := recover(); p != nil { // net/http recovers on its own goroutines only
			i.err = fmt.Errorf("dpophttp: issue panicked: %v", p)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if i.err == nil {
			c.nonce, c.replace = i.nonce, replaceAt(began, ttl.Truncate(time.Second))
		}
		c.issuing = nil
		close(i.done)
	}()
	i.nonce, i.err = nonces.Issue(ctx, ttl)
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

// time reads the wall clock, as the store does. Round(0) drops the monotonic
// reading, which stands still while the machine is suspended.
func (c *current) time() time.Time {
	if c.now == nil {
		return time.Now().Round(0)
	}
	return c.now()
}
