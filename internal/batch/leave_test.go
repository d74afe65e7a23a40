package batch

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

func TestCallerThatGivesUpWaitingIsNeverSent(t *testing.T) {
	h := newHeld(t, succeed)
	ctx, cancel := context.WithCancel(context.Background())
	leaves, stays := newErrand(ctx), newErrand(context.Background())
	left := h.queue(leaves, never(t))
	stayed := h.queue(stays, never(t))
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	h.release()
	if err := <-stayed; err != nil {
		t.Fatal(err)
	}
	if len(h.batches) != 1 || len(h.batches[0]) != 1 || h.batches[0][0] != stays {
		t.Fatalf("sent %v", h.batches)
	}
}

func TestSharedContextEndsWhenAllGaveUp(t *testing.T) {
	sent, answer := make(chan context.Context), make(chan struct{})
	h := newHeld(t, func(ctx context.Context, _ []*errand) error {
		sent <- ctx
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	first, leaveFirst := context.WithCancel(context.Background())
	second, leaveSecond := context.WithCancel(context.Background())
	defer leaveSecond()
	a := h.queue(newErrand(first), never(t))
	c := h.queue(newErrand(second), never(t))
	h.release()
	shared := <-sent
	leaveFirst()
	if err := <-a; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if shared.Err() != nil {
		t.Fatal("the statement ended with the first that left")
	}
	leaveSecond()
	if err := <-c; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	<-shared.Done()
	h.idle()
	close(answer)
}

func TestHangingBatchDoesNotStopTheQueue(t *testing.T) {
	before := runtime.NumGoroutine()
	hang, hangs := make(chan struct{}), make(chan struct{})
	first := true
	h := newHeld(t, func(ctx context.Context, calls []*errand) error {
		if first {
			first = false
			close(hangs)
			<-hang
		}
		return succeed(ctx, calls)
	})
	h.patience = time.Millisecond
	stuck := h.queue(newErrand(context.Background()), never(t))
	h.release()
	<-hangs
	for i := 0; i < 3; i++ {
		// Shared or alone: what matters is that it is made.
		if err := h.Do(newErrand(context.Background()), func(*errand) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	close(hang)
	if err := <-stuck; err != nil {
		t.Fatal(err)
	}
	h.idle()
	for runtime.NumGoroutine() > before {
		runtime.Gosched()
	}
}

func TestHangingLoneCallDoesNotStopTheQueue(t *testing.T) {
	q := New(Limits{Alone: 1, Size: 10}, sameKind, succeed)
	q.patience = time.Millisecond
	hang, done := make(chan struct{}), make(chan error)
	go func() { done <- q.Do(newErrand(context.Background()), func(*errand) error { <-hang; return nil }) }()
	for i := 0; i < 3; i++ {
		if err := q.Do(newErrand(context.Background()), func(*errand) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	close(hang)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	(&held{Queue: q}).idle()
}

// brokenContext is one that an application has made badly.
type brokenContext struct{ context.Context }

func (brokenContext) Done() <-chan struct{} { panic("no Done") }
func (brokenContext) Err() error            { panic("no Err") }

func TestPanickingContextDoesNotStopTheQueue(t *testing.T) {
	h := newHeld(t, succeed)
	broken := func() {
		defer func() { _ = recover() }()
		_ = h.Do(newErrand(brokenContext{context.Background()}), never(t))
	}
	broken() // waits, and panics on its own goroutine
	h.release()
	h.idle()
	broken() // alone
	if err := h.Do(newErrand(context.Background()), func(*errand) error { return nil }); err != nil {
		t.Fatal(err)
	}
}
