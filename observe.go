package dpopnonce

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// An Event is one call of a [Repository], as [WithObserver] shows it. It never
// holds a nonce.
type Event struct {
	// Operation is "issue", "insert", "check", "consume", "rotate", "spend" or
	// "sweep".
	Operation string

	// Outcome is "ok", a rejection ("missing", "unknown", "used", "expired"),
	// "replayed" for [ErrReplayed], "duplicate" for [ErrDuplicate], "invalid" for
	// [ErrTTL] and any other *ValidationError, "canceled" where the caller gave
	// up (context.Canceled), or "error", as also for a deadline.
	Outcome string

	// Err is what the call returned, where Outcome is "error".
	Err error

	// Duration is how long the call took, by the monotonic clock.
	Duration time.Duration

	// Age is for how long the nonce had been issued by the end of the call, in
	// whole seconds and not under 0, where Outcome is "ok", "used" or "expired". It
	// is read from the nonce: for any that the repository did not make, and where
	// none is presented, it is -1.
	Age time.Duration

	// Shared is how many callers the statement had: 1 without [WithGroupCommit],
	// and 0 where none was sent. Of several statements, the last one counts.
	Shared int

	// Repeated is how often statements were repeated after a serialization
	// failure, a deadlock, a lock timeout or a broken connection. It is none where a
	// shared statement meets a lock, and each caller then goes alone.
	Repeated int

	// Rows is how many rows a Sweep deleted.
	Rows int64
}

// WithObserver has observe called once after each Issue, Insert, Check, Consume,
// Rotate, Spend and Sweep, on the goroutine and with the context of the call. The
// caller waits for it: it must not block. What it panics with reaches the caller.
//
// It also sees the calls of [Repository.WithTx], whose outcome a rollback may
// undo, and those of SweepEvery. A call that a callback of the application ends
// by a panic is an "error". Package dpopotel, a module of its own, has an
// observer for OpenTelemetry.
func WithObserver(observe func(context.Context, Event)) Option {
	return func(r *Repository) error {
		if observe == nil {
			return errors.New("WithObserver: nil observer")
		}
		r.observe = observe
		return nil
	}
}

// An observation is what becomes known of a call while it runs. A nil one takes
// nothing in.
type observation struct {
	begun  time.Time
	issued time.Time // when the nonce was, if it says so
	rows   int64

	// A caller that has given up reads them while its batch is under way.
	callers, repeated atomic.Int64
}

// presents notes the nonce of a call.
func (o *observation) presents(nonce string) {
	if o != nil {
		o.issued = mintedAt(nonce)
	}
}

// opens notes when a sealed nonce was issued.
func (o *observation) opens(issued time.Time) {
	if o != nil {
		o.issued = issued
	}
}

// sends notes that a statement for so many callers is about to be sent.
func (o *observation) sends(callers int) {
	if o != nil {
		o.callers.Store(int64(callers))
	}
}

// repeats notes that statements were repeated.
func (o *observation) repeats(times int) {
	if o != nil {
		o.repeated.Add(int64(times))
	}
}

// deletes notes that a Sweep deleted rows.
func (o *observation) deletes(rows int64) {
	if o != nil {
		o.rows += rows
	}
}

// errNoReturn is the error of a call that a callback of the application ended.
var errNoReturn = errors.New("dpopnonce: a callback panicked or ended its goroutine")

// show shows the observer a call that has ended with err.
func (r *Repository) show(ctx context.Context, operation string, o *observation, err error) {
	e := Event{
		Operation: operation,
		Outcome:   outcomeOf(err),
		Duration:  time.Since(o.begun),
		Age:       -1,
		Shared:    int(o.callers.Load()),
		Repeated:  int(o.repeated.Load()),
		Rows:      o.rows,
	}
	switch e.Outcome {
	case "error":
		e.Err = err
	case "ok", "used", "expired":
		if !o.issued.IsZero() {
			e.Age = max(0, r.now().Sub(wholeSecond(o.issued)))
		}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	r.observe(ctx, e)
}

// outcomeOf returns the Outcome of an Event.
func outcomeOf(err error) string {
	var invalid *ValidationError
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrDuplicate):
		return "duplicate"
	case err == ErrTTL, errors.As(err, &invalid):
		return "invalid"
	case errors.Is(err, ErrMissing):
		return "missing"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case errors.Is(err, ErrUsed):
		return "used"
	case errors.Is(err, ErrExpired):
		return "expired"
	case err == ErrReplayed:
		return "replayed"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "error"
}
