package batch

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// errand is a call of the tests.
type errand struct {
	Call
	kind int
}

func newErrand(ctx context.Context) *errand { return &errand{Call: Call{Context: ctx}} }

func sameKind(first, c *errand) bool { return c.kind == first.kind }

func succeed(_ context.Context, calls []*errand) error {
	for _, c := range calls {
		c.Outcome = nil
	}
	return nil
}

// held is a queue whose one slot is taken until release is called, and whose
// batches are recorded.
type held struct {
	*Queue[*errand]
	release func()

	mu      sync.Mutex
	batches [][]*errand
	ctxs    []context.Context
}

func newHeld(t *testing.T, share func(context.Context, []*errand) error) *held {
	t.Helper()
	h := &held{}
	h.Queue = New(Limits{Alone: 1, Size: 100}, sameKind, func(ctx context.Context, calls []*errand) error {
		h.mu.Lock()
		h.batches = append(h.batches, calls)
		h.ctxs = append(h.ctxs, ctx)
		h.mu.Unlock()
		return share(ctx, calls)
	})
	h.patience = time.Hour
	hold, done := make(chan struct{}), make(chan error)
	go func() { done <- h.Do(newErrand(context.Background()), func(*errand) error { <-hold; return nil }) }()
	h.await(func() bool { return h.Queue.alone == 1 })
	h.release = func() {
		close(hold)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return h
}

// await yields until the queue is in a state.
func (h *held) await(is func() bool) {
	for {
		h.Queue.mu.Lock()
		now := is()
		h.Queue.mu.Unlock()
		if now {
			return
		}
		runtime.Gosched()
	}
}

// queue lets one more caller wait and returns the channel of its outcome.
func (h *held) queue(c *errand, alone func(*errand) error) <-chan error {
	h.Queue.mu.Lock()
	n := len(h.waiting)
	h.Queue.mu.Unlock()
	result := make(chan error, 1)
	go func() { result <- h.Do(c, alone) }()
	h.await(func() bool { return len(h.waiting) > n })
	return result
}

// idle waits until nothing is under way.
func (h *held) idle() {
	h.await(func() bool { return h.Queue.alone == 0 && h.shared == 0 && len(h.waiting) == 0 })
}

func never(t *testing.T) func(*errand) error {
	return func(*errand) error { t.Error("made alone"); return nil }
}

func TestNilQueueMakesCallsAlone(t *testing.T) {
	var q *Queue[*errand]
	want := errors.New("its own")
	if err := q.Do(newErrand(context.Background()), func(*errand) error { return want }); err != want {
		t.Fatalf("got %v", err)
	}
}

func TestLoneCallerUsesItsOwnGoroutine(t *testing.T) {
	q := New(Limits{Alone: 1, Size: 1}, sameKind, func(context.Context, []*errand) error { t.Error("shared"); return nil })
	before := runtime.NumGoroutine()
	want := errors.New("its own")
	for i := 0; i < 3; i++ {
		if err := q.Do(newErrand(context.Background()), func(*errand) error { return want }); err != want {
			t.Fatalf("got %v", err)
		}
	}
	if q.alone != 0 || q.shared != 0 || runtime.NumGoroutine() > before {
		t.Fatalf("%d alone, %d shared, %d goroutines", q.alone, q.shared, runtime.NumGoroutine()-before)
	}
}

func TestPanicAloneFreesItsSlot(t *testing.T) {
	q := New(Limits{Alone: 1, Size: 1}, sameKind, succeed)
	func() {
		defer func() { _ = recover() }()
		_ = q.Do(newErrand(context.Background()), func(*errand) error { panic("callback") })
	}()
	if q.alone != 0 {
		t.Fatal("the slot stays taken")
	}
}

func TestWaitingCallsTravelTogether(t *testing.T) {
	h := newHeld(t, succeed)
	var results []<-chan error
	for i := 0; i < 20; i++ {
		results = append(results, h.queue(newErrand(context.Background()), never(t)))
	}
	h.release()
	for _, r := range results {
		if err := <-r; err != nil {
			t.Fatal(err)
		}
	}
	h.idle()
	if len(h.batches) != 1 || len(h.batches[0]) != 20 {
		t.Fatalf("%d batches", len(h.batches))
	}
}

func TestAnsweredCallersTravelTogetherAgain(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // answered callers run when the batch's goroutine yields
	h := newHeld(t, succeed)
	var callers sync.WaitGroup
	for i := 0; i < 3; i++ {
		callers.Add(1)
		go func() {
			defer callers.Done()
			for j := 0; j < 2; j++ {
				if err := h.Do(newErrand(context.Background()), never(t)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	h.await(func() bool { return len(h.waiting) == 3 })
	h.release()
	callers.Wait()
	if len(h.batches) != 2 || len(h.batches[1]) != 3 {
		t.Errorf("batches %v, want two of three calls", h.batches)
	}
}

func TestBatchHoldsUpTheNext(t *testing.T) {
	held, finish := make(chan struct{}), make(chan struct{})
	h := newHeld(t, func(ctx context.Context, calls []*errand) error {
		if len(calls) == 1 {
			close(held)
			<-finish
		}
		return succeed(ctx, calls)
	})
	first := h.queue(newErrand(context.Background()), never(t))
	h.release()
	<-held
	second, third := h.queue(newErrand(context.Background()), never(t)), h.queue(newErrand(context.Background()), never(t))
	close(finish)
	for _, outcome := range []<-chan error{first, second, third} {
		if err := <-outcome; err != nil {
			t.Fatal(err)
		}
	}
	if len(h.batches) != 2 || len(h.batches[1]) != 2 {
		t.Errorf("batches %v, want one of one call and one of two", h.batches)
	}
	h.idle()
}

func TestSlowLoneCallsDoNotStopTheQueue(t *testing.T) {
	const alone = 4
	q := New(Limits{Alone: alone, Size: 100}, sameKind, succeed)
	h := &held{Queue: q}
	hold := make(chan struct{})
	var done sync.WaitGroup
	for i := 0; i < alone; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			_ = q.Do(newErrand(context.Background()), func(*errand) error { <-hold; return nil })
		}()
	}
	h.await(func() bool { return q.alone == alone })
	for i := 0; i < 3; i++ {
		if err := q.Do(newErrand(context.Background()), never(t)); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	done.Wait()
}

func TestBatchesAreBoundedAndOfOneKind(t *testing.T) {
	h := newHeld(t, succeed)
	const callers = 230
	var results []<-chan error
	for i := 0; i < callers; i++ {
		c := newErrand(context.Background())
		if i%100 == 7 {
			c.kind = 1
		}
		results = append(results, h.queue(c, never(t)))
	}
	h.release()
	for _, r := range results {
		if err := <-r; err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, calls := range h.batches {
		total += len(calls)
		for _, c := range calls {
			if c.kind != calls[0].kind {
				t.Error("two kinds in a batch")
			}
		}
		if len(calls) > 100 {
			t.Errorf("%d calls in a batch", len(calls))
		}
	}
	if total != callers {
		t.Errorf("%d calls", total)
	}
}

func TestFailedBatches(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		share func(context.Context, []*errand) error
		want  string // in the error of each; "": each call is made alone
	}{
		"an error is everybody's":        {func(context.Context, []*errand) error { return broken }, "broken"},
		"a panic is everybody's error":   {func(context.Context, []*errand) error { panic("callback") }, "panic in a shared call: callback"},
		"Goexit is everybody's error":    {func(context.Context, []*errand) error { runtime.Goexit(); return nil }, "goroutine has ended"},
		"no outcome is an error":         {func(context.Context, []*errand) error { return nil }, "no outcome"},
		"ErrAlone makes each call alone": {func(context.Context, []*errand) error { return ErrAlone }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t, c.share)
			alone := make(chan struct{}, 2)
			var results []<-chan error
			for i := 0; i < 2; i++ {
				results = append(results, h.queue(newErrand(context.Background()), func(*errand) error { alone <- struct{}{}; return nil }))
			}
			h.release()
			for _, r := range results {
				switch err := <-r; {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %v", err)
				}
			}
			if want := map[bool]int{true: 2}[c.want == ""]; len(alone) != want {
				t.Errorf("%d calls made alone", len(alone))
			}
			h.idle()
			if err := h.Do(newErrand(context.Background()), func(*errand) error { return nil }); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestSharedContextEndsWithLatestDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		deadlines []time.Duration // 0: none
		want      time.Duration
	}{
		"the latest":    {[]time.Duration{time.Hour, 3 * time.Hour, 2 * time.Hour}, 3 * time.Hour},
		"one has none":  {[]time.Duration{time.Hour, 0}, 0},
		"the only one":  {[]time.Duration{time.Hour}, time.Hour},
		"nobody has it": {[]time.Duration{0, 0}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeld(t, succeed)
			start := time.Now()
			var results []<-chan error
			for _, d := range c.deadlines {
				ctx := context.Background()
				if d > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithDeadline(ctx, start.Add(d))
					defer cancel()
				}
				results = append(results, h.queue(newErrand(ctx), never(t)))
			}
			h.release()
			for _, r := range results {
				<-r
			}
			deadline, ok := h.ctxs[0].Deadline()
			if ok != (c.want > 0) || ok && !deadline.Equal(start.Add(c.want)) {
				t.Errorf("deadline %v, %v", deadline.Sub(start), ok)
			}
		})
	}
}
