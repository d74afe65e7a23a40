package history

import (
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Report is what a history amounts to.
type Report struct {
	Operations, Issued, Accepted, Rejected, Failed int

	Nonces int // that were presented
	Shared int // of them, by two processes or more
	Twice  int // of them, accepted more than once

	Violations int      // nonces whose history no store could have that keeps the promise
	Examples   []string // of the first few

	Outage time.Duration // the longest time in which no call was answered
}

// Check checks each nonce's history for linearizability against a store that
// accepts a nonce at most once, never after its expiry, and never unless it was
// issued. A rejection is always right: where a store cannot know, it fails
// closed.
func Check(ops []Op) Report {
	var r Report
	byNonce := map[string][]Op{}
	for _, op := range ops {
		r.count(op)
		if op.Kind != Issue {
			byNonce[op.Nonce] = append(byNonce[op.Nonce], op)
		}
	}
	r.Nonces = len(byNonce)
	for _, op := range ops { // what was issued and never presented can do no harm
		if born := birth(op); born != nil && byNonce[born.Nonce] != nil {
			byNonce[born.Nonce] = append(byNonce[born.Nonce], *born)
		}
	}
	m := model.ToModel()
	for nonce, history := range byNonce {
		processes, accepted := map[int]bool{}, 0
		for _, op := range history {
			if op.Kind != Issue {
				processes[op.Process] = true
			}
			if op.Outcome == Accepted {
				accepted++
			}
		}
		if len(processes) > 1 {
			r.Shared++
		}
		if accepted > 1 {
			r.Twice++
		}
		if !porcupine.CheckOperations(m, operations(history)) {
			r.Violations++
			if len(r.Examples) < 3 {
				r.Examples = append(r.Examples, describe(nonce, history))
			}
		}
	}
	r.Outage = outage(ops)
	return r
}

func (r *Report) count(op Op) {
	r.Operations++
	switch op.Outcome {
	case Issued:
		r.Issued++
	case Accepted:
		r.Accepted++
	case Failed:
		r.Failed++
	default:
		r.Rejected++
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

func operations(history []Op) []porcupine.Operation {
	all := make([]porcupine.Operation, len(history))
	for i, op := range history {
		end := int64(op.End)
		if op.Outcome == Failed { // what it sent may yet arrive
			end = math.MaxInt64
		}
		all[i] = porcupine.Operation{ClientId: i, Input: op, Call: int64(op.Start), Return: end}
	}
	return all
}

// state is that of one nonce.
type state struct {
	issued, spent bool
	expires       time.Time
}

var model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{}} },
	Step: func(from, input, _ any) []any {
		s, op := from.(state), input.(Op)
		live := s.issued && !s.spent && op.Clock.Before(s.expires)
		spent := s
		spent.spent = true
		switch op.Outcome {
		case Issued:
			return []any{state{issued: true, expires: expiry(op)}}
		case Accepted:
			if !live {
				return nil
			}
			return []any{spent}
		case Failed:
			if live {
				return []any{s, spent}
			}
		}
		return []any{s}
	},
	Equal: func(a, b any) bool { return a == b },
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
// were accepted, or too few were contested by processes.
func (r Report) Vacuous(accepted int) error {
	if r.Accepted < accepted {
		return fmt.Errorf("%d acceptances, want %d", r.Accepted, accepted)
	}
	if share := float64(r.Shared) / float64(r.Nonces); share < 0.3 {
		return fmt.Errorf("%.0f %% of the nonces were tried by two processes or more, want 30", 100*share)
	}
	return nil
}
