package dpopnonce

import (
	"context"
	"testing"

	"github.com/attesto/dpopnonce/internal/batch"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

func TestCallerThatIsStillThereWins(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var calls []*call
	for _, ctx := range []context.Context{ended, context.Background(), context.Background()} {
		calls = append(calls, &call{Call: batch.Call{Context: ctx}, nonce: "n"})
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
