package history

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Report summarizes a history.
type Report struct {
	Operations, Issued, Expired, Failed int // calls

	Nonces int // presented nonces and proofs
	Shared int // of these, presented by two or more processes that got an answer
	Lost   int // of these, never accepted, although no call failed or was too late

	Tally          // of all forms
	Of    [3]Tally // of each form

	Examples []string // the histories of the first few violations

	Faults   int
	InFlight int           // the fewest calls in flight at a fault
	Outage   time.Duration // the longest time without an acceptance
}

// A Tally counts what was accepted.
type Tally struct {
	Accepted   int // calls
	Twice      int // nonces and proofs that were accepted more than once
	Violations int // nonces and proofs whose history breaks the promise
}

// Check checks that the history of each nonce and proof is linearizable, for a
// store that accepts each at most once, not after its expiry, and a nonce only if it
// was issued.
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
	for _, op := range h.Ops { // nonces that no caller presented cannot violate anything
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
		r.Of[op.Form()].Accepted++
	case Expired:
		r.Expired++
	case Failed:
		r.Failed++
	}
}

// judge adds one nonce or proof to the report.
func (r *Report) judge(nonce string, ops []Op) {
	outcomes := map[Outcome]int{}
	processes := map[int]bool{}
	for _, op := range ops {
		outcomes[op.Outcome]++
		if op.Kind != Issue && op.Outcome != Failed {
			processes[op.Process] = true
		}
	}
	if len(processes) > 1 {
		r.Shared++
	}
	if outcomes[Accepted]+outcomes[Failed]+outcomes[Expired] == 0 {
		r.Lost++
	}
	form := &r.Of[ops[0].Form()]
	if outcomes[Accepted] > 1 {
		r.Twice++
		form.Twice++
	}
	if !porcupine.CheckOperations(model, operations(ops)) {
		r.Violations++
		form.Violations++
		if len(r.Examples) < 3 {
			r.Examples = append(r.Examples, describe(nonce, ops))
		}
	}
}

// birth returns the issue of a nonce by op, which may be a Rotate, or nil.
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

// operations returns the calls that can break the promise. Rejections cannot: a
// store may reject whatever it does not know. Failures cannot: they may have spent
// the nonce and nothing else.
func operations(ops []Op) (all []porcupine.Operation) {
	for i, op := range ops {
		if op.Outcome == Issued || op.Outcome == Accepted {
			all = append(all, porcupine.Operation{ClientId: i, Input: op, Call: int64(op.Start), Return: int64(op.End)})
		}
	}
	return all
}

// state is the state of one nonce or proof.
type state struct {
	issued, spent bool
	expires       time.Time
}

var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(from, input, _ any) (bool, any) {
		s, op := from.(state), input.(Op)
		if op.Outcome == Issued { // a second issue does not unspend the nonce
			s.issued = true
			if e := expiry(op); e.After(s.expires) {
				s.expires = e
			}
			return true, s
		}
		if op.Kind == Spend { // a proof is not issued, and brings its end along
			s.issued, s.expires = true, op.Until.Truncate(time.Second)
		}
		live := s.issued && !s.spent && op.Clock.Before(s.expires)
		s.spent = true
		return live, s
	},
}

// expiry returns the latest possible expiry of the nonce of an issue. The store
// reads its clock between the start and the end of the call.
func expiry(op Op) time.Time {
	latest := op.Clock.Add(time.Duration(op.End-op.Start) + op.Jump)
	return latest.Truncate(time.Second).Add(op.TTL)
}

func describe(nonce string, history []Op) string {
	sort.Slice(history, func(i, j int) bool { return history[i].Start < history[j].Start })
	first := history[0]
	text := fmt.Sprintf("%v %.12s:", first.Form(), nonce)
	for _, op := range history {
		text += fmt.Sprintf(" [%v to %v, process %d: %s %s]", time.Duration(op.Start-first.Start), time.Duration(op.End-first.Start), op.Process, op.Kind, op.Outcome)
	}
	return text
}

// outage returns the longest time between two acceptances. Other answers may need no
// database.
func outage(ops []Op) time.Duration {
	var accepted []Instant
	for _, op := range ops {
		if op.Outcome == Accepted {
			accepted = append(accepted, op.End)
		}
	}
	slices.Sort(accepted)
	var longest Instant
	for i := 1; i < len(accepted); i++ {
		longest = max(longest, accepted[i]-accepted[i-1])
	}
	return time.Duration(longest)
}

// Vacuous returns an error if the history proves too little: too few acceptances,
// too few nonces and proofs that several processes presented, or a fault without a
// call in flight.
func (r Report) Vacuous(accepted int) error {
	if r.Accepted < accepted {
		return fmt.Errorf("%d acceptances, want %d", r.Accepted, accepted)
	}
	if r.Faults > 0 && r.InFlight == 0 {
		return errors.New("no call was in flight at a fault")
	}
	if share := float64(r.Shared) / float64(r.Nonces); share < 0.3 {
		return fmt.Errorf("%.0f %% of the nonces and proofs have answers of two or more processes, want 30", 100*share)
	}
	return nil
}
