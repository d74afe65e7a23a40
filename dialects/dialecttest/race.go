package dialecttest

import (
	"database/sql"
	"sync"
	"testing"

	"gorm.io/gorm"
)

// callers is how many goroutines compete.
const callers = 32

// race calls fn on many goroutines at the same moment and returns what each
// got.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var ready, done sync.WaitGroup
	for i := 0; i < n; i++ {
		i := i
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			ready.Done()
			<-start
			errs[i] = fn(i)
		}()
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

// connect opens a connection for every caller before the race, as far as the
// pool allows, so that none of them waits for another's.
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
