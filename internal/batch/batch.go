// Package batch lets concurrent calls travel together. While calls are under
// way, others wait in a queue, and all that wait go in one batch.
package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Call is one caller's question and answer. Callers embed it in a type of
// their own.
type Call struct {
	// Context is the caller's. It ends the call, and no other one's.
	Context context.Context

	// Outcome is the answer to a shared call: nil is success, and ErrAlone means
	// that it has to be made alone.
	Outcome error

	deadline time.Time     // the Context's
	bounded  bool          // it has one
	done     chan struct{} // closed when there is an outcome; nil unless it is queued
	batch    *batch        // nil while it waits
	gone     atomic.Bool
}

// Gone reports whether the caller has given up. Do not use its Context then: it
// may serve another call already.
func (c *Call) Gone() bool { return c.gone.Load() }

func (c *Call) call() *Call { return c }

// caller is a pointer to what embeds a Call.
type caller interface{ call() *Call }

// ErrAlone is the outcome of a call that a batch left undone, and of all calls
// of a batch that left nothing behind.
var ErrAlone = errors.New("to be made alone")

var (
	errUnanswered = errors.New("the shared call has no outcome")
	errGoexit     = errors.New("the shared call's goroutine has ended")
)

// Limits say how much is under way at once. If Alone is 1, everything takes turns.
// Otherwise two batches may be, and only large ones: two small batches cost more
// than one, and two large ones keep more processors busy.
type Limits struct {
	Alone  int // calls made alone before others begin to wait
	Second int // calls that have to wait for a second batch
	Size   int // calls in one batch
}

// patience is for how long what is under way holds up the others. One broken
// connection must not stop them all.
const patience = 200 * time.Millisecond

// A Queue is for calls of one kind. Its zero value cannot be used; a nil Queue
// makes every call alone. It has goroutines only while calls wait.
type Queue[C caller] struct {
	limits   Limits
	patience time.Duration
	share    func(context.Context, []C) error
	together func(a, b C) bool

	mu            sync.Mutex
	alone, shared int // under way
	traveling     int // calls in batches under way
	waiting       []C
}

// New returns a queue. share makes calls in one batch: it sets each Outcome, or
// returns the error that is the outcome of all. Its context ends with the latest
// of the callers' deadlines, or when all of them gave up, and has no values.
// together says whether a call may travel with the first one of a batch.
func New[C caller](limits Limits, together func(first, c C) bool, share func(context.Context, []C) error) *Queue[C] {
	return &Queue[C]{limits: limits, patience: patience, together: together, share: share}
}

// Do makes a call, alone on the caller's goroutine or with others, and returns
// its outcome. A caller whose context ends gets its error, and must not look at
// the call again, which may be under way.
func (q *Queue[C]) Do(c C, alone func(C) error) error {
	if q == nil {
		return alone(c)
	}
	// The methods of a caller's context are called here only: one that panics ends
	// its own call, and no batch.
	own := c.call()
	ended := own.Context.Done()
	own.deadline, own.bounded = own.Context.Deadline()
	if own.Context.Err() != nil {
		return alone(c)
	}
	if leave := q.admit(c); leave != nil {
		defer leave()
		return alone(c)
	}
	select {
	case <-own.done:
	case <-ended:
		if q.giveUp(own) {
			return fmt.Errorf("waiting for a shared call: %w", own.Context.Err())
		}
	}
	q.answered(own.batch)
	if own.Outcome == ErrAlone {
		return alone(c)
	}
	return own.Outcome
}

// admit lets a call go alone, until leave is called, or makes it wait: then leave
// is nil.
func (q *Queue[C]) admit(c C) (leave func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	own := c.call()
	if len(q.waiting) == 0 && q.shared == 0 && q.alone < q.limits.Alone {
		q.alone++
		return q.enter(func() { q.alone-- })
	}
	own.done, own.Outcome = make(chan struct{}), errUnanswered
	q.waiting = append(q.waiting, c)
	q.start()
	return nil
}

// enter returns leave, which runs end, once, and sends those that wait. What takes
// longer than the queue has patience leaves by itself.
func (q *Queue[C]) enter(end func()) (leave func()) {
	once := sync.OnceFunc(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		end()
		q.start()
	})
	late := time.AfterFunc(q.patience, once)
	return func() {
		late.Stop()
		once()
	}
}

// start sends a batch if calls wait and nothing holds them up. Calls made alone
// do not, where there may be several: they may take long.
func (q *Queue[C]) start() {
	n := len(q.waiting)
	turns := q.limits.Alone == 1
	switch {
	case n == 0, turns && q.alone+q.shared > 0, q.shared == 1 && n < q.limits.Second, q.shared > 1:
		return
	}
	q.shared++
	go q.send()
}

// giveUp takes a call out of the queue or of its batch, unless its outcome is
// there.
func (q *Queue[C]) giveUp(own *Call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-own.done:
		return false
	default:
	}
	own.gone.Store(true)
	if own.batch != nil {
		if own.batch.stay--; own.batch.stay == 0 {
			own.batch.cancel()
		}
		return true
	}
	for i, c := range q.waiting {
		if c.call() == own {
			q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
			break
		}
	}
	return true
}
