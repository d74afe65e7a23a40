package history

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Report is what a history amounts to.
type Report struct {
	Operations, Issued, Accepted, Expired, Failed int

	Nonces int // that were presented
	Shared int // of them, those that two processes or more had an answer for
	Lost   int // of them, those that nobody was accepted with, and no call failed or was too late
	Twice  int // of them, accepted more than once

	Violations int      // nonces whose history no store could have that keeps the promise
	Examples   []string // of the first few

	Faults   int
	InFlight int           // the fewest calls in flight at a fault
	Outage   time.Duration // the longest time in which no call was answered
}

// Check checks each nonce's history for linearizability against a store that
// accepts a nonce at most once, never after its expiry, and never unless it was
// issued.
func Check(h History) Report {
	r := Report{Operations: len(h.Ops), Faults: len(h.Faults), Outage: outage(h.Ops)}
	byNonce := map[string][]Op{}
	for _, op := range h.Ops {
		r.count(op)
		if op.Kind != Issue {
			byNonce[op.Nonce] = append(byNonce[op.Nonce], op)
		}
	}
	r.Nonces = len(byNonce)
	for _, op := range h.Ops { // what was issued and never presented can do no harm
		if born := birth(op); born != nil && byNonce[born.Nonce] != nil {
			byNonce[born.Nonce] = append(byNonce[born.Nonce], *born)
		}
	}
	for nonce, ops := range byNonce {
		r.judge(nonce, ops)
	}
	for i, f := range h.Faults {
		if n := h.InFlight(f); i == 0 || n < r.InFlight {
			r.InFlight = n
		}
	}
	return r
}

func (r *Report) count(op Op) {
	switch op.Outcome {
	case Issued:
		r.Issued++
	case Accepted:
		r.Accepted++
	case Expired:
		r.Expired++
	case Failed:
		r.Failed++
	}
}

// judge adds one nonce.
func (r *Report) judge(nonce string, ops []Op) {
	told := map[Outcome]int{}
	processes := map[int]bool{}
	for _, op := range ops {
		told[op.Outcome]++
		if op.Kind != Issue && op.Outcome != Failed {
			processes[op.Process] = true
		}
	}
	if len(processes) > 1 {
		r.Shared++
	}
	if told[Accepted]+told[Failed]+told[Expired] == 0 {
		r.Lost++
	}
	if told[Accepted] > 1 {
		r.Twice++
	}
	if !porcupine.CheckOperations(model, operations(ops)) {
		r.Violations++
		if len(r.Examples) < 3 {
			r.Examples = append(r.Examples, describe(nonce, ops))
		}
	}
}

// birth is the issue of a nonce in op, its own or a successor's.
func birth(op Op) *Op {
	switch {
	case op.Kind == Issue && op.Outcome == Issued:
		return &op
	case op.Next != "":
		op.Kind, op.Nonce, op.Outcome = Issue, op.Next, Issued
		return &op
	}
	return nil
}

// operations are those of ops that say something about the promise. Rejections
// do not: where a store cannot know, it fails closed. Nor do failures, which can
// only have spent the nonce.
func operations(ops []Op) (all []porcupine.Operation) {
	for i, op := range ops {
		if op.Outcome == Issued || op.Outcome == Accepted {
			all = append(all, porcupine.Operation{ClientId: i, Input: op, Call: int64(op.Start), Return: int64(op.End)})
		}
	}
	return all
}

// state is that of one nonce.
type state struct {
	issued, spent bool
	expires       time.Time
}

var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(from, input, _ any) (bool, any) {
		s, op := from.(state), input.(Op)
		if op.Outcome == Issued { // again, too, it stays spent
			s.issued = true
			if e := expiry(op); e.After(s.expires) {
				s.expires = e
			}
			return true, s
		}
		live := s.issued && !s.spent && op.Clock.Before(s.expires)
		s.spent = true
		return live, s
	},
}

// expiry is the latest that the nonce of an issue can have: the store reads its
// clock between the start and the end of the call.
func expiry(op Op) time.Time {
	latest := op.Clock.Add(time.Duration(op.End - op.Start))
	return latest.Truncate(time.Second).Add(op.TTL)
}

func describe(nonce string, history []Op) string {
	sort.Slice(history, func(i, j int) bool { return history[i].Start < history[j].Start })
	first := history[0].Start
	text := "nonce " + nonce[:min(len(nonce), 12)] + ":"
	for _, op := range history {
		text += fmt.Sprintf(" [%v to %v, process %d: %s %s]", time.Duration(op.Start-first), time.Duration(op.End-first), op.Process, op.Kind, op.Outcome)
	}
	return text
}

// outage is the longest time between two answers.
func outage(ops []Op) time.Duration {
	var answers []Instant
	for _, op := range ops {
		if op.Outcome != Failed {
			answers = append(answers, op.End)
		}
	}
	sort.Slice(answers, func(i, j int) bool { return answers[i] < answers[j] })
	var longest Instant
	for i := 1; i < len(answers); i++ {
		longest = max(longest, answers[i]-answers[i-1])
	}
	return time.Duration(longest)
}

// Vacuous is an error if the history could hardly have failed: too few nonces
// were accepted, too few were contested by processes, or nothing was going on at
// a fault.
func (r Report) Vacuous(accepted int) error {
	if r.Accepted < accepted {
		return fmt.Errorf("%d acceptances, want %d", r.Accepted, accepted)
	}
	if r.Faults > 0 && r.InFlight == 0 {
		return errors.New("nothing was in flight at a fault")
	}
	if share := float64(r.Shared) / float64(r.Nonces); share < 0.3 {
		return fmt.Errorf("%.0f %% of the nonces were answered to two processes or more, want 30", 100*share)
	}
	return nil
}
