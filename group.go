package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Calls that wait for a statement in flight travel together in the next one.
// The figures are those that measured best at 1, 8, 32 and 128 callers: see
// integration/bench.
const (
	groupPlain  = 8   // plain statements in flight before calls begin to queue
	groupShared = 2   // shared statements in flight; both are 1 where writers take turns
	groupBatch  = 256 // calls in one statement
)

// WithGroupCommit lets concurrent Issue, Consume and Rotate calls share a
// statement, and with it a commit. It pays from some tens of callers on.
//
// A lone caller runs the plain statement on its own goroutine. Each caller
// still gets its own outcome, and only one of those who present the same nonce
// is accepted. One whose context ends returns at once; if its call was sent,
// its nonce may be spent. A row that another transaction holds delays the
// callers who present it, and nobody else. A statement that fails is reported
// to all who share it.
//
// Nothing is shared in what may be a caller's transaction, as through
// [Repository.WithTx]. An idle repository has no goroutine. A custom dialect
// that has no shared statements is an error from NewRepository. On PostgreSQL it
// is not for a partitioned table: shared statements would spend nonces of other
// partitions, too.
func WithGroupCommit() Option {
	return func(r *Repository) error {
		r.groupCommit = true
		return nil
	}
}

// A call is one caller's part in a shared statement.
type call struct {
	ctx   context.Context
	nonce string // of a consume
	ttl   time.Duration
	next  string // the successor, or the nonce that was issued

	done      chan struct{} // closed when the fields below are set
	rejection error
	err       error
	alone     bool // the caller has to run the plain statement

	shared bool // do has set the outcome

	batch *batch // nil while it is queued
}

// A batch is what travels in one statement.
type batch struct {
	calls  []*call
	stay   int // callers that have not given up
	cancel context.CancelFunc
}

// A group is a queue for calls of one kind. A goroutine serves it for as long as
// there are calls in it.
type group struct {
	share func(context.Context, []*call) error // sets the outcomes

	maxPlain, maxShared int

	mu            sync.Mutex
	plain, shared int // statements in flight
	queue         []*call
}

// do runs c in a shared statement, which sets c's outcome, or runs plain, which
// is c as a statement of its own.
func (g *group) do(c *call, plain func() error) error {
	g.mu.Lock()
	if len(g.queue) == 0 && (g.shared == 0 && g.plain < g.maxPlain || g.shared+g.plain < g.maxShared) {
		g.plain++
		g.mu.Unlock()
		defer g.leave()
		return plain()
	}
	c.done = make(chan struct{})
	g.queue = append(g.queue, c)
	if g.shared == 0 { // plain statements may be waiting for rows that somebody holds
		g.start()
	}
	g.mu.Unlock()

	select {
	case <-c.done:
	case <-c.ctx.Done():
		if g.giveUp(c) {
			return fmt.Errorf("dpopnonce: waiting for a shared statement: %w", c.ctx.Err())
		}
	}
	if c.alone {
		return plain()
	}
	c.shared = true
	return c.err
}

// giveUp takes c out of the queue or of its batch. It is false if the outcome
// is there.
func (g *group) giveUp(c *call) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	if c.batch != nil {
		if c.batch.stay--; c.batch.stay == 0 {
			c.batch.cancel()
		}
		return true
	}
	for i, queued := range g.queue {
		if queued == c {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			break
		}
	}
	return true
}

// leave ends a plain statement, and sends those who wait.
func (g *group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.plain--
	g.start()
}

// start serves the queue if there is a slot for it. Where writers take turns,
// that is not before the plain statement has ended.
func (g *group) start() {
	if len(g.queue) == 0 || g.shared == g.maxShared || g.maxPlain == 1 && g.plain > 0 {
		return
	}
	g.shared++
	go g.serve()
}

// serve sends batches until the queue is empty. Before each it lets callers go
// first who are about to queue, above all those whom the last one has answered.
func (g *group) serve() {
	for {
		runtime.Gosched()
		g.mu.Lock()
		ctx, b := g.take()
		if b == nil {
			g.shared--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()

		err := g.send(ctx, b.calls)
		g.mu.Lock()
		b.cancel()
		for _, c := range b.calls {
			if errors.Is(err, errEachAlone) {
				c.alone = true
			} else {
				c.err = err
			}
			close(c.done)
		}
		g.mu.Unlock()
	}
}

// send shares a statement. A panic, of an application's callback for one, is
// an error of the calls, as nobody recovers it on this goroutine.
func (g *group) send(ctx context.Context, calls []*call) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("dpopnonce: shared statement: panic: %v", p)
		}
	}()
	return g.share(ctx, calls)
}

// take makes a batch of queued calls that have the first one's ttl; nil if there
// are none. Its context is none of theirs: it ends with the latest of their
// deadlines, or when all of them gave up.
func (g *group) take() (context.Context, *batch) {
	b := &batch{}
	left := g.queue[:0:0]
	var latest time.Time
	bounded := true
	for _, c := range g.queue {
		if c.ctx.Err() != nil {
			continue // it has given up, or is about to
		}
		if len(b.calls) == groupBatch || len(b.calls) > 0 && c.ttl != b.calls[0].ttl {
			left = append(left, c)
			continue
		}
		c.batch = b
		b.calls = append(b.calls, c)
		deadline, ok := c.ctx.Deadline()
		bounded = bounded && ok
		if deadline.After(latest) {
			latest = deadline
		}
	}
	g.queue = left
	if len(b.calls) == 0 {
		return nil, nil
	}
	b.stay = len(b.calls)
	ctx := context.Background()
	if bounded {
		ctx, b.cancel = context.WithDeadline(ctx, latest)
	} else {
		ctx, b.cancel = context.WithCancel(ctx)
	}
	return ctx, b
}
