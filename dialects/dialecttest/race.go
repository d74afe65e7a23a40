package dialecttest

import (
	"context"
	"database/sql"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"
)

// callers is how many goroutines compete.
const callers = 32

// race calls fn on n goroutines at the same moment and returns the error of
// each.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	ready.Add(n)
	done.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			defer done.Done()
			ready.Done()
			<-start
			errs[i] = fn(i)
		}(i)
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// crowd is race, and holds up the first statements until all callers have come to
// where calls wait for each other, also on a slow machine: that asks for the Done
// of a context, and every fn has to use the one that it gets, or ask it by itself.
func crowd(t *testing.T, db *gorm.DB, n int, fn func(ctx context.Context, i int) error) []error {
	t.Helper()
	var called atomic.Int64
	watch(t, db, func(tx *gorm.DB) {
		tx.Statement.Context.Done() // of a call that waits for no other
		for called.Load() < int64(n) {
			runtime.Gosched()
		}
		for i := called.Add(1); i < int64(n)+100_000; i = called.Add(1) { // they wait, or are about to
			runtime.Gosched()
		}
	})
	return race(n, func(i int) error {
		var once sync.Once
		arrive := func() { once.Do(func() { called.Add(1) }) }
		defer arrive() // a call that is refused before
		return fn(arriving{alone, arrive}, i)
	})
}

// arriving is a context that calls arrive where its Done is asked for.
type arriving struct {
	context.Context
	arrive func()
}

func (a arriving) Done() <-chan struct{} {
	a.arrive()
	return a.Context.Done()
}

// connect opens a connection for every caller before a race, as far as the
// pool allows, so that no caller waits for another's.
func connect(t testing.TB, db *gorm.DB) {
	t.Helper()
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	n := callers
	if limit := pool.Stats().MaxOpenConnections; limit > 0 && limit < n {
		n = limit
	}
	pool.SetMaxIdleConns(n)
	conns := make([]*sql.Conn, n)
	for i := range conns {
		if conns[i], err = pool.Conn(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
