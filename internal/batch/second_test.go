package batch

import (
	"context"
	"sync"
	"testing"
	"time"
)

// newBusy returns a queue whose lone calls are all held, and whose batches wait until
// finish is called.
func newBusy(t *testing.T) (h *held, batches chan int, finish func()) {
	t.Helper()
	end := make(chan struct{})
	batches = make(chan int, 10)
	h = &held{Queue: New(Limits{Alone: 2, Second: 3, Size: 5}, sameKind, func(ctx context.Context, calls []*errand) error {
		batches <- len(calls)
		<-end
		return succeed(ctx, calls)
	})}
	h.patience = time.Hour
	var lone sync.WaitGroup
	for i := 0; i < 2; i++ {
		lone.Add(1)
		go func() {
			defer lone.Done()
			_ = h.Do(newErrand(context.Background()), func(*errand) error { <-end; return nil })
		}()
	}
	h.await(func() bool { return h.Queue.alone == 2 })
	return h, batches, func() { close(end); lone.Wait(); h.idle() }
}

func TestSecondBatchWaitsForEnoughCalls(t *testing.T) {
	h, batches, finish := newBusy(t)
	call := func() {
		go func() { _ = h.Do(newErrand(context.Background()), func(*errand) error { return nil }) }()
	}
	call()
	if n := <-batches; n != 1 {
		t.Fatalf("the first batch has %d calls", n)
	}
	for i := 1; i <= 2; i++ {
		call()
		h.await(func() bool { return len(h.waiting) == i })
	}
	if len(batches) > 0 {
		t.Fatal("two calls did not wait")
	}
	call()
	if n := <-batches; n != 3 {
		t.Fatalf("the second batch has %d calls, want 3", n)
	}
	finish()
}

func TestTwoBatchesShareTheCalls(t *testing.T) {
	h, batches, finish := newBusy(t)
	full := func(batches int) { // as if so many were under way
		h.Queue.mu.Lock()
		defer h.Queue.mu.Unlock()
		h.Queue.shared = batches
		h.start()
	}
	full(2)
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			_ = h.Do(newErrand(context.Background()), never(t))
		}()
	}
	h.await(func() bool { return len(h.waiting) == 8 })
	full(0)
	if a, b := <-batches, <-batches; a != 4 || b != 4 {
		t.Fatalf("batches of %d and %d calls, want 4 and 4", a, b)
	}
	finish()
	all.Wait()
}
