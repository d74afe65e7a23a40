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

	now     func() time.Time // set by tests; the wall clock if nil
	timeout time.Duration    // set by tests; issueTimeout if 0
}

// issuing is one Issue that concurrent requests wait for.
type issuing struct {
	began time.Time
	done  chan struct{} // closed when nonce and err are set
	nonce string
	err   error
}

// get returns the current nonce. It issues a new one if there is none or if
// half the ttl has passed; concurrent callers share that Issue.
func (c *current) get(ctx context.Context, nonces Nonces, ttl time.Duration) (string, error) {
	c.mu.Lock()
	now := c.time()
	if c.nonce != "" && now.Before(c.replace) {
		defer c.mu.Unlock()
		return c.nonce, nil
	}
	i := c.issuing
	if i == nil {
		i = &issuing{began: now, done: make(chan struct{})}
		c.issuing = i
		go c.issue(ctx, i, nonces, ttl)
	}
	c.mu.Unlock()
	select {
	case <-i.done:
		return i.nonce, i.err
	case <-ctx.Done():
		return "", fmt.Errorf("dpophttp: wait for a nonce: %w", ctx.Err())
	}
}

// issue runs i with the values of a request's context, but not with its end: a
// client that goes away does not cancel the Issue for the others. A store that
// hangs past the timeout holds this goroutine, and no request.
func (c *current) issue(ctx context.Context, i *issuing, nonces Nonces, ttl time.Duration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.bound())
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		c.finish(i, "", ttl, fmt.Errorf("dpophttp: issue did not return: %w", ctx.Err()))
	})
	defer stop()
	nonce, err := "", errors.New("dpophttp: issue ended its goroutine")
	defer func() {
		if p := recover(); p != nil { // net/http recovers on its own goroutines only
			err = fmt.Errorf("dpophttp: issue panicked: %v", p)
		}
		c.finish(i, nonce, ttl, err)
	}()
	nonce, err = nonces.Issue(ctx, ttl)
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

// time reads the wall clock, as the store does. Round(0) drops the monotonic
// reading, which stands still while the machine is suspended.
func (c *current) time() time.Time {
	if c.now == nil {
		return time.Now().Round(0)
	}
	return c.now()
}

func (c *current) bound() time.Duration {
	if c.timeout == 0 {
		return issueTimeout
	}
	return c.timeout
}
