package dpopnonce

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// blocked is a group with one slot, which a plain statement has until release is
// called, and whose shared statements are recorded.
type blocked struct {
	group
	release func()

	mu      sync.Mutex
	batches [][]*call
	ctxs    []context.Context
}

func newBlocked(t *testing.T, share func(context.Context, []*call) error) *blocked {
	t.Helper()
	b := &blocked{group: group{maxPlain: 1, maxShared: 1}}
	b.share = func(ctx context.Context, calls []*call) error {
		b.mu.Lock()
		b.batches = append(b.batches, calls)
		b.ctxs = append(b.ctxs, ctx)
		b.mu.Unlock()
		return share(ctx, calls)
	}
	hold := make(chan struct{})
	done := make(chan error)
	go func() { done <- b.do(&call{ctx: context.Background()}, func() error { <-hold; return nil }) }()
	b.await(func() bool { return b.plain == 1 })
	b.release = func() {
		close(hold)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return b
}

// await yields until the group is as told.
func (b *blocked) await(is func() bool) {
	for {
		b.group.mu.Lock()
		now := is()
		b.group.mu.Unlock()
		if now {
			return
		}
		runtime.Gosched()
	}
}

// queue lets one more caller wait and returns where its error comes.
func (b *blocked) queue(c *call, plain func() error) <-chan error {
	b.group.mu.Lock()
	n := len(b.group.queue)
	b.group.mu.Unlock()
	result := make(chan error, 1)
	go func() { result <- b.do(c, plain) }()
	b.await(func() bool { return len(b.group.queue) > n })
	return result
}

func noPlain(t *testing.T) func() error {
	return func() error { t.Error("the plain statement ran"); return nil }
}

func succeed(context.Context, []*call) error { return nil }

func TestALoneCallerRunsThePlainStatementItself(t *testing.T) {
	g := &group{maxPlain: 1, share: func(context.Context, []*call) error { t.Error("shared"); return nil }}
	before := runtime.NumGoroutine()
	want := errors.New("its own")
	for i := 0; i < 3; i++ {
		if err := g.do(&call{ctx: context.Background()}, func() error { return want }); err != want {
			t.Fatalf("got %v", err)
		}
	}
	if g.plain != 0 || g.shared != 0 || runtime.NumGoroutine() > before {
		t.Fatalf("%d plain, %d shared, %d goroutines", g.plain, g.shared, runtime.NumGoroutine()-before)
	}
}

func TestAPanicOfThePlainStatementFreesItsSlot(t *testing.T) {
	g := &group{maxPlain: 1}
	func() {
		defer func() { _ = recover() }()
		_ = g.do(&call{ctx: context.Background()}, func() error { panic("callback") })
	}()
	if g.plain != 0 {
		t.Fatal("the slot is taken for good")
	}
}

func TestWhatQueuesTravelsTogetherAndNothingStays(t *testing.T) {
	b := newBlocked(t, succeed)
	var results []<-chan error
	for i := 0; i < 20; i++ {
		results = append(results, b.queue(&call{ctx: context.Background(), ttl: time.Minute}, noPlain(t)))
	}
	b.release()
	for _, r := range results {
		if err := <-r; err != nil {
			t.Fatal(err)
		}
	}
	b.await(func() bool { return b.plain == 0 && b.shared == 0 && len(b.group.queue) == 0 })
	if len(b.batches) != 1 || len(b.batches[0]) != 20 {
		t.Fatalf("%d statements", len(b.batches))
	}
}

func TestPlainStatementsThatWaitDoNotHoldUpTheQueue(t *testing.T) {
	g := &group{maxPlain: groupPlain, maxShared: groupShared, share: succeed}
	hold := make(chan struct{})
	var done sync.WaitGroup
	for i := 0; i < groupPlain; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			_ = g.do(&call{ctx: context.Background()}, func() error { <-hold; return nil })
		}()
	}
	(&blocked{}).await(func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.plain == groupPlain
	})
	for i := 0; i < 3; i++ {
		if err := g.do(&call{ctx: context.Background()}, noPlain(t)); err != nil {
			t.Fatal(err)
		}
	}
	close(hold)
	done.Wait()
}

func TestABatchIsBoundedAndOfOneTTL(t *testing.T) {
	b := newBlocked(t, succeed)
	var results []<-chan error
	for i := 0; i < groupBatch+10; i++ {
		ttl := time.Minute
		if i%100 == 7 {
			ttl = time.Hour
		}
		results = append(results, b.queue(&call{ctx: context.Background(), ttl: ttl}, noPlain(t)))
	}
	b.release()
	for _, r := range results {
		if err := <-r; err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for _, calls := range b.batches {
		total += len(calls)
		for _, c := range calls {
			if c.ttl != calls[0].ttl {
				t.Error("two ttls in a statement")
			}
		}
		if len(calls) > groupBatch {
			t.Errorf("%d calls in a statement", len(calls))
		}
	}
	if total != groupBatch+10 {
		t.Errorf("%d calls", total)
	}
}

func TestACallerWhoGivesUpInTheQueueIsNeverSent(t *testing.T) {
	b := newBlocked(t, succeed)
	ctx, cancel := context.WithCancel(context.Background())
	leaver := b.queue(&call{ctx: ctx, nonce: "leaver"}, noPlain(t))
	stayer := b.queue(&call{ctx: context.Background(), nonce: "stayer"}, noPlain(t))
	cancel()
	if err := <-leaver; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	b.release()
	if err := <-stayer; err != nil {
		t.Fatal(err)
	}
	if len(b.batches) != 1 || len(b.batches[0]) != 1 || b.batches[0][0].nonce != "stayer" {
		t.Fatalf("sent %v", b.batches)
	}
}

func TestACallerWhoGivesUpOnceSentHurtsNobodyUntilAllDid(t *testing.T) {
	sent, answer := make(chan context.Context), make(chan struct{})
	b := newBlocked(t, func(ctx context.Context, _ []*call) error {
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
	a := b.queue(&call{ctx: first}, noPlain(t))
	c := b.queue(&call{ctx: second}, noPlain(t))
	b.release()
	shared := <-sent
	leaveFirst()
	if err := <-a; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if shared.Err() != nil {
		t.Fatal("the statement ended with the first to leave")
	}
	leaveSecond()
	if err := <-c; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	<-shared.Done()
	b.await(func() bool { return b.shared == 0 })
	close(answer)
}

func TestASharedStatementEndsWithTheLatestDeadline(t *testing.T) {
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
			b := newBlocked(t, succeed)
			start := time.Now()
			var results []<-chan error
			for _, d := range c.deadlines {
				ctx := context.Background()
				if d > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithDeadline(ctx, start.Add(d))
					defer cancel()
				}
				results = append(results, b.queue(&call{ctx: ctx}, noPlain(t)))
			}
			b.release()
			for _, r := range results {
				<-r
			}
			deadline, ok := b.ctxs[0].Deadline()
			if ok != (c.want > 0) || ok && !deadline.Equal(start.Add(c.want)) {
				t.Errorf("deadline %v, %v", deadline.Sub(start), ok)
			}
		})
	}
}

func TestASharedStatementThatFails(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		share func(context.Context, []*call) error
		want  string // in the error of each; "": each runs the plain statement
	}{
		"is reported to each":      {func(context.Context, []*call) error { return broken }, "broken"},
		"by a panic is, too":       {func(context.Context, []*call) error { panic("callback") }, "panic: callback"},
		"without a trace is plain": {func(context.Context, []*call) error { return errEachAlone }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlocked(t, c.share)
			plain := make(chan struct{}, 2)
			var results []<-chan error
			for i := 0; i < 2; i++ {
				results = append(results, b.queue(&call{ctx: context.Background()}, func() error { plain <- struct{}{}; return nil }))
			}
			b.release()
			for _, r := range results {
				switch err := <-r; {
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %v", err)
				}
			}
			if want := map[bool]int{true: 2}[c.want == ""]; len(plain) != want {
				t.Errorf("%d plain statements", len(plain))
			}
		})
	}
}

func TestOfThoseWhoPresentOneNonceOneWhoIsStillThereIsAccepted(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	calls := []*call{{ctx: ended, nonce: "n"}, {ctx: context.Background(), nonce: "n"}, {ctx: context.Background(), nonce: "n"}}
	settle(calls, map[string]string{"n": accepted})
	for i, want := range []error{ErrUsed, nil, ErrUsed} {
		if calls[i].rejection != want {
			t.Errorf("caller %d: %v", i, calls[i].rejection)
		}
	}
}

func TestARepositoryInsideATransactionSharesNothing(t *testing.T) {
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	r, err := NewRepository(db, WithGroupCommit())
	if err != nil {
		t.Fatal(err)
	}
	if r.groups == nil {
		t.Error("nothing is shared outside")
	}
	if r.WithTx(db).groups != nil {
		t.Error("WithTx shares")
	}
	if err := db.Connection(func(conn *gorm.DB) error {
		inside, err := NewRepository(conn, WithGroupCommit())
		if err == nil && inside.groups != nil {
			t.Error("a connection shares")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
