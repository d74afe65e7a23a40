package session

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a writer may hold its turn before the others go on without
// one. The writer may wait for a transaction of the application's, and that
// transaction for one of the others.
const patience = time.Second

// A line is the writers of one pool, which take turns in the order in which they
// come: SQLite has one writer at a time, and would let the others sleep and try
// again. It is a courtesy on which nothing depends. Other processes, and the
// application's own statements, are not in it.
type line struct {
	turn    chan struct{} // holds a value while a writer has the turn
	since   atomic.Int64  // when the one before gave it back, as Unix nanoseconds
	writers int           // that have it or wait
}

// lines has the pools that are being written to. The repositories of one pool do
// not know each other.
var lines = struct {
	sync.Mutex
	of map[*sql.DB]*line
}{of: map[*sql.DB]*line{}}

// takeTurn waits until a statement or a transaction may write, and returns what
// gives the turn back.
func (s *Session) takeTurn(ctx context.Context) (giveBack func(), err error) {
	if !s.takesTurns || s.InTransaction {
		return func() {}, nil
	}
	lines.Lock()
	l := lines.of[s.pool]
	if l == nil {
		l = &line{turn: make(chan struct{}, 1)}
		l.since.Store(time.Now().UnixNano())
		lines.of[s.pool] = l
	}
	l.writers++
	lines.Unlock()
	took, err := l.wait(ctx)
	giveBack = func() {
		if took {
			l.since.Store(time.Now().UnixNano())
			<-l.turn
		}
		lines.Lock()
		defer lines.Unlock()
		if l.writers--; l.writers == 0 {
			delete(lines.of, s.pool)
		}
	}
	if err != nil {
		giveBack()
		return nil, fmt.Errorf("waiting for another writer: %w", err)
	}
	return giveBack, nil
}

// wait waits for the turn and reports whether it has come.
func (l *line) wait(ctx context.Context) (took bool, err error) {
	for {
		select {
		case l.turn <- struct{}{}:
			return true, nil
		default:
		}
		left := patience - time.Since(time.Unix(0, l.since.Load()))
		if left <= 0 {
			return false, nil
		}
		timer := time.NewTimer(left)
		select {
		case l.turn <- struct{}{}:
			timer.Stop()
			return true, nil
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		case <-timer.C:
		}
	}
}
