// Package history records the calls of nonce stores and their outcomes, in any
// number of processes. It checks that each nonce and each proof was accepted at
// most once, not after its expiry, and a nonce only if it was issued.
package history

import (
	"time"

	"golang.org/x/sys/unix"
)

// An Outcome is the result of a call.
type Outcome string

const (
	Issued   Outcome = "issued"
	Accepted Outcome = "accepted"
	Used     Outcome = "used"
	Expired  Outcome = "expired"
	Unknown  Outcome = "unknown"
	Failed   Outcome = "failed" // the call may or may not have taken effect
)

// A Kind names a method of the store.
type Kind string

const (
	Issue   Kind = "issue"
	Consume Kind = "consume"
	Rotate  Kind = "rotate"
	Spend   Kind = "spend" // of a proof
)

// A Form is what is accepted: a nonce that is stored when it is issued, one that is
// stored when it is accepted, or a proof.
type Form int

const (
	Stored Form = iota
	Sealed
	Proof
)

func (f Form) String() string { return [...]string{"stored", "sealed", "proof"}[f] }

// An Op is one call.
type Op struct {
	Process int     `json:"process"`
	Kind    Kind    `json:"kind"`
	Nonce   string  `json:"nonce"`          // presented, or issued; the id of a proof
	Next    string  `json:"next,omitempty"` // the successor of a Rotate
	Outcome Outcome `json:"outcome"`
	Err     string  `json:"err,omitempty"`

	// All processes share the clock of Start and End. If the caller was killed,
	// End is when the load noticed.
	Start, End Instant

	// Clock is the time of the caller's node at the start of the call. During the
	// call it moved on by End - Start + Jump.
	Clock time.Time
	Jump  time.Duration `json:",omitempty"`

	TTL   time.Duration // of nonces
	Until time.Time     `json:",omitzero"` // of a proof
}

// sealedLength is the length of a sealed nonce. A stored one is shorter.
const sealedLength = 60

// Form returns the form of what the call presents or issues.
func (op Op) Form() Form {
	switch {
	case op.Kind == Spend:
		return Proof
	case len(op.Nonce) == sealedLength:
		return Sealed
	}
	return Stored
}

// A History holds all calls and faults of a run.
type History struct {
	Ops    []Op
	Faults []Fault
}

// A Fault is the time in which a process, or something that all of them use, was
// broken.
type Fault struct {
	From, To Instant
	Process  int // or All
}

// All is the Process of a fault that affects all processes.
const All = -1

// InFlight counts the calls that the fault hit: they ran during it, and they failed
// or had no answer at its end.
func (h History) InFlight(f Fault) (n int) {
	for _, op := range h.Ops {
		if op.Start < f.To && op.End > f.From && (op.End > f.To || op.Outcome == Failed) &&
			(f.Process == All || f.Process == op.Process) {
			n++
		}
	}
	return n
}

// An Instant is a reading of the monotonic clock in nanoseconds.
type Instant int64

// Now reads the machine's monotonic clock, which is the same in all processes.
func Now() Instant {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err)
	}
	return Instant(t.Nano())
}
