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

// current is the nonce that all responses of a Guard under Window carry.
type current struct {
	mu      sync.Mutex
	nonce   string
	replace time.Time // when another is due
	issuing *issuing  // nil unless one is on its way

	now func() time.Time // time.Now if nil: moved by tests
}

// issuing is an Issue that requests wait for together.
type issuing struct {
	done  chan struct{} // closed when the fields below are set
	nonce string
	err   error
}

// get returns the current nonce, and issues it where it is missing or half its
// ttl has passed, once for all who ask meanwhile.
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
		return "", fmt.Errorf("dpophttp: waiting for a nonce: %w", ctx.Err())
	}
}

// issue ends an issuing, with a context of no request.
func (c *current) issue(i *issuing, nonces Nonces, ttl time.Duration) {
	began := c.time()
	ctx, cancel := context.WithTimeout(context.Background(), issueTimeout)
	defer cancel()
	i.err = errors.New("dpophttp: issue: did not return")
	defer func() {
		if p := recover(); p != nil { // nobody else recovers it on this goroutine
			i.err = fmt.Errorf("dpophttp: issue: panic: %v", p)
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

// replaceAt is half a ttl after a nonce was issued, and never past its end,
// which is in whole seconds.
func replaceAt(issued time.Time, ttl time.Duration) time.Time {
	half, end := issued.Add(ttl/2), issued.Truncate(time.Second).Add(ttl)
	if half.After(end) {
		return end
	}
	return half
}

// drop forgets nonce if it is the current one, because the store does not
// accept it: its clock was moved, or its row is gone.
func (c *current) drop(nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nonce == nonce {
		c.nonce = ""
	}
}

// time is the wall clock's, as the store's is: a machine that was suspended
// replaces at once.
func (c *current) time() time.Time {
	if c.now == nil {
		return time.Now().Round(0)
	}
	return c.now()
}
