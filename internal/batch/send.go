package batch

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// A batch is a number of calls that travel together.
type batch struct {
	ctx    context.Context
	cancel context.CancelFunc
	stay   int // callers that have neither given up nor got their outcome
	leave  func()
}

// send makes one batch. It first lets callers go ahead that are about to queue,
// above all those whose answers have just come.
func (q *Queue[C]) send() {
	runtime.Gosched()
	q.mu.Lock()
	b, calls := q.take()
	if b == nil {
		q.shared--
		q.mu.Unlock()
		return
	}
	q.traveling += len(calls)
	b.leave = q.enter(func() { q.shared--; q.traveling -= len(calls) })
	q.start()
	q.mu.Unlock()

	// Callbacks of the application run in here, and may panic or end the
	// goroutine.
	err := errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a shared call: %v", p)
			if cause, ok := p.(error); ok {
				err = fmt.Errorf("panic in a shared call: %w", cause)
			}
		}
		if q.answer(b, calls, err) == 0 {
			b.leave()
		}
	}()
	err = q.share(b.ctx, calls)
}

// answer gives each call its outcome, and returns how many callers are there to
// take it. The last of them ends the batch: those that come back at once find it
// under way, and wait for each other.
func (q *Queue[C]) answer(b *batch, calls []C, err error) (stay int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range calls {
		own := c.call()
		if err != nil {
			own.Outcome = err
		}
		close(own.done)
	}
	return b.stay
}

// answered is called by each caller that takes its outcome.
func (q *Queue[C]) answered(b *batch) {
	q.mu.Lock()
	b.stay--
	last := b.stay == 0
	q.mu.Unlock()
	if last {
		b.leave()
		b.cancel()
	}
}

// take makes a batch of waiting calls that may travel with the first of them;
// nil if none is left.
func (q *Queue[C]) take() (*batch, []C) {
	b := &batch{}
	var calls, left []C
	var latest time.Time
	bounded := true
	size := q.limits.Size
	if q.limits.Alone > 1 { // two batches of one size do most
		size = min(size, max(q.limits.Second, (len(q.waiting)+q.traveling+1)/2))
	}
	for _, c := range q.waiting {
		own := c.call()
		if len(calls) == size || len(calls) > 0 && !q.together(calls[0], c) {
			left = append(left, c)
			continue
		}
		own.batch = b
		calls = append(calls, c)
		bounded = bounded && own.bounded
		if own.deadline.After(latest) {
			latest = own.deadline
		}
	}
	q.waiting = left
	if len(calls) == 0 {
		return nil, nil
	}
	b.stay = len(calls)
	if bounded {
		b.ctx, b.cancel = context.WithDeadline(context.Background(), latest)
	} else {
		b.ctx, b.cancel = context.WithCancel(context.Background())
	}
	return b, calls
}
