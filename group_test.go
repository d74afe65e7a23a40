package dpopnonce

import (
	"context"
	"testing"

	"github.com/attesto/dpopnonce/internal/batch"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// leaving is the context of a caller that gives up as soon as it waits.
type leaving struct{ context.Context }

func (leaving) Done() <-chan struct{} {
	ended := make(chan struct{})
	close(ended)
	return ended
}

func TestCallerThatIsStillThereWins(t *testing.T) {
	queue := batch.New(serialLimits, func(_, _ *call) bool { return true }, func(context.Context, []*call) error { return nil })
	var calls []*call
	for _, ctx := range []context.Context{leaving{context.Background()}, context.Background(), context.Background()} {
		calls = append(calls, &call{Call: batch.Call{Context: ctx}, nonce: "n"})
	}
	err := queue.Do(&call{Call: batch.Call{Context: context.Background()}}, func(*call) error {
		return queue.Do(calls[0], func(*call) error { return nil }) // waits behind this one, and leaves
	})
	if err == nil || !calls[0].Gone() {
		t.Fatalf("gone: %v, %v", calls[0].Gone(), err)
	}
	settle(calls, map[string]error{"n": nil})
	for i, want := range []error{ErrUsed, nil, ErrUsed} {
		if calls[i].Outcome != want {
			t.Errorf("caller %d: %v", i, calls[i].Outcome)
		}
	}
}

func TestNothingIsSharedInsideATransaction(t *testing.T) {
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
	if r.queues.issue == nil {
		t.Error("nothing is shared outside")
	}
	if r.WithTx(db).queues != (queues{}) {
		t.Error("WithTx shares")
	}
	if err := db.Connection(func(conn *gorm.DB) error {
		inside, err := NewRepository(conn, WithGroupCommit())
		if err == nil && inside.queues != (queues{}) {
			t.Error("a connection shares")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
