package dialecttest

import (
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

// crowd is race, and holds up the first statements until all have called: those
// that can share a statement then do, also on a slow machine.
func crowd(t *testing.T, db *gorm.DB, n int, fn func(i int) error) []error {
	t.Helper()
	var called atomic.Int64
	watch(t, db, func(*gorm.DB) {
		for called.Load() < int64(n) {
			runtime.Gosched()
		}
	})
	return race(n, func(i int) error {
		called.Add(1)
		return fn(i)
	})
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
