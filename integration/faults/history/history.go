// Package history records what callers of nonce stores did and were told, in
// any number of processes, and checks that each nonce was accepted at most
// once, never after its expiry, and never unless it was issued.
package history

import (
	"time"

	"golang.org/x/sys/unix"
)

// An Outcome is what a caller was told.
type Outcome string

const (
	Issued   Outcome = "issued"
	Accepted Outcome = "accepted"
	Used     Outcome = "used"
	Expired  Outcome = "expired"
	Unknown  Outcome = "unknown"
	Failed   Outcome = "failed" // it may or may not have happened
)

// A Kind is a call of the store.
type Kind string

const (
	Issue   Kind = "issue"
	Consume Kind = "consume"
	Rotate  Kind = "rotate"
)

// An Op is one call.
type Op struct {
	Process int     `json:"process"`
	Kind    Kind    `json:"kind"`
	Nonce   string  `json:"nonce"`          // presented, or issued
	Next    string  `json:"next,omitempty"` // the successor of a Rotate
	Outcome Outcome `json:"outcome"`
	Err     string  `json:"err,omitempty"`

	// On the clock of the machine, which all processes share. For a call whose
	// caller died, End is when that was noticed.
	Start, End Instant

	// Clock is the time of the caller's node when the call began, and TTL what
	// it asked for.
	Clock time.Time
	TTL   time.Duration
}

// A History is what callers were told, while some things broke.
type History struct {
	Ops    []Op
	Faults []Fault
}

// A Fault is when something was broken: a process, or what all of them use.
type Fault struct {
	From, To Instant
	Process  int // or All
}

// All is instead of a process.
const All = -1

// InFlight is how many calls the fault met: those that were under way, and
// failed or had no answer by its end.
func (h History) InFlight(f Fault) (n int) {
	for _, op := range h.Ops {
		if op.Start < f.To && op.End > f.From && (op.End > f.To || op.Outcome == Failed) &&
			(f.Process == All || f.Process == op.Process) {
			n++
		}
	}
	return n
}

// An Instant is in nanoseconds, of no calendar.
type Instant int64

// Now is the machine's monotonic clock, the same in all processes.
func Now() Instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return Instant(t.Nano())
}
