package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand"
	"time"

	"github.com/attesto/dpopnonce/dialects"
)

// The most repetitions after a deadlock or lock timeout; after a statement that
// was not sent; after a session that refused it; and after a stale schema on
// SQLite.
const (
	maxLocked  = 10
	maxUnsent  = 3
	maxRefused = 3
	maxRenewed = 1
)

// Do runs fn, each statement by itself, and runs it again where the database
// says that nothing happened: in a transaction then, of a level that cannot fail
// to serialize. In a caller's transaction nothing is repeated. It returns the
// number of repetitions, without those after a refusal.
func (s *Session) Do(ctx context.Context, fn func(Conn) error) (repeated int, err error) {
	return s.repeat(ctx, fn, false, true)
}

// isRepeated reports whether a run is repeated after a fault.
func isRepeated(fault dialects.Fault) bool {
	switch fault {
	case dialects.Serialization, dialects.Locked, dialects.Exists, dialects.NeedsTransaction, dialects.Unprepared:
		return true
	}
	return false
}

// Transaction is Do with the first run in a transaction. The UPDATE that decides
// must be its last statement: in a Galera cluster, MariaDB may roll a
// transaction back without an error if a statement is prepared next. What
// follows is then a transaction of its own, and COMMIT succeeds.
func (s *Session) Transaction(ctx context.Context, fn func(Conn) error) (repeated int, err error) {
	return s.repeat(ctx, fn, true, true)
}

// DDL is Do without a transaction. Other nodes may run the same at once, which
// databases find out late.
func (s *Session) DDL(ctx context.Context, fn func(Conn) error) (repeated int, err error) {
	return s.repeat(ctx, fn, false, false)
}

// repeat runs fn, the first time and again, in a transaction or not.
func (s *Session) repeat(ctx context.Context, fn func(Conn) error, first, again bool) (repeated int, err error) {
	// GORM's prepared statements pass the error of a context to all that wait for
	// the same statement: one that has ended must not reach them.
	err = ctx.Err()
	var done repetitions
	for inTransaction := first; err == nil || s.again(ctx, err, &done); inTransaction = again {
		repeated = done.all - done.refused
		if inTransaction {
			err = s.transaction(ctx, done.level(s.isolation), fn)
		} else {
			err = s.plain(ctx, fn)
		}
		if err == nil {
			return repeated, nil
		}
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		err = &endedError{ended, err} // whatever the driver made of it
	}
	return repeated, err
}

// endedError is the end of a context, and the error of the statement it ended.
type endedError struct{ ended, err error }

func (e *endedError) Error() string   { return e.ended.Error() + ": " + e.err.Error() }
func (e *endedError) Unwrap() []error { return []error{e.ended, e.err} }

// repetitions counts those of one run, by cause where they are bounded.
type repetitions struct {
	all, locked, unsent, refused, renewed int
}

// level returns the isolation level of the next run: the one of choice, which a
// server's binary log may refuse, then REPEATABLE READ, which it does not, then
// the session's own, for a connection that is in a transaction already.
func (r repetitions) level(choice sql.IsolationLevel) sql.IsolationLevel {
	switch r.refused {
	case 0:
		return choice
	case 1:
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// again reports whether to repeat what ended with err, after a pause.
func (s *Session) again(ctx context.Context, err error, done *repetitions) bool {
	if s.InTransaction {
		return false
	}
	done.all++
	switch fault, _ := s.dialect.Fault(err); {
	case fault == dialects.Serialization:
		return pause(ctx, done.all)
	case fault == dialects.NeedsTransaction:
		done.refused++
		return done.refused <= maxRefused
	case fault == dialects.Locked, fault == dialects.Exists, fault == dialects.Unprepared:
		done.locked++
		return done.locked <= maxLocked && pause(ctx, done.all)
	case fault == dialects.NoUniqueIndex && s.takesTurns: // see Conn.renewed
		done.renewed++
		return done.renewed <= maxRenewed
	case ctx.Err() == nil && s.unsent(ctx, err):
		done.unsent++
		return done.unsent <= maxUnsent
	}
	return false
}

// unsent reports whether err is of a statement that was not sent, while ctx
// lives.
//
// One cause is a broken connection. Package sql tries three, and callers whose
// contexts end while they are served leave more than that behind.
//
// The other is the end of another caller's context: with PrepareStmt, all that
// wait for a statement that one caller prepares get that caller's error. A
// deadline that is not ctx's may be GORM's DefaultContextTimeout, which ends
// statements that were sent. It is for contexts without one of their own.
func (s *Session) unsent(ctx context.Context, err error) bool {
	if errors.Is(err, driver.ErrBadConn) {
		return true
	}
	if !s.db.PrepareStmt {
		return false
	}
	_, bounded := ctx.Deadline()
	return errors.Is(err, context.Canceled) || bounded && errors.Is(err, context.DeadlineExceeded)
}

// pause waits before the nth repetition, longer from one to the next and at
// random, so that competitors come apart. It reports whether ctx still lives.
func pause(ctx context.Context, n int) bool {
	const first, longest = time.Millisecond, 200 * time.Millisecond
	wait := longest
	if n < 8 {
		wait = first << n
	}
	return Sleep(ctx, time.Duration(rand.Int63n(int64(wait))))
}

// Sleep waits for d, or until ctx ends. It reports whether ctx still lives.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
