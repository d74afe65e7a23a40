package history_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// at returns an operation on the nonce "n" between two seconds after noon.
func at(start, end int, process int, kind history.Kind, outcome history.Outcome) history.Op {
	return history.Op{Process: process, Kind: kind, Nonce: "n", Outcome: outcome, TTL: 10 * time.Second,
		Start: history.Instant(start) * 1e9, End: history.Instant(end) * 1e9, Clock: noon.Add(time.Duration(start) * time.Second)}
}

func of(ops ...history.Op) history.History { return history.History{Ops: ops} }

func TestViolationsAreCounted(t *testing.T) {
	issue := at(1, 1, 0, history.Issue, history.Issued)
	spend := func(start, end, process int, outcome history.Outcome) history.Op {
		return at(start, end, process, history.Consume, outcome)
	}
	again := at(4, 5, 1, history.Rotate, history.Unknown)
	again.Nonce, again.Next = "other", "n"
	proof := func(start, end, process int, outcome history.Outcome) history.Op {
		op := at(start, end, process, history.Spend, outcome)
		op.Until = noon.Add(10*time.Second + 1e8) // compared in whole seconds
		return op
	}
	jumped := issue
	jumped.Jump = 5 * time.Second
	for name, c := range map[string]struct {
		h          history.History
		violations int
	}{
		"accepted once":                       {of(issue, spend(2, 3, 1, history.Accepted), spend(2, 3, 2, history.Used)), 0},
		"accepted twice":                      {of(issue, spend(2, 3, 1, history.Accepted), spend(4, 5, 2, history.Accepted)), 1},
		"accepted twice at once":              {of(issue, spend(2, 5, 1, history.Accepted), spend(3, 4, 2, history.Accepted)), 1},
		"accepted before it was issued":       {of(at(4, 5, 0, history.Issue, history.Issued), spend(2, 3, 1, history.Accepted)), 1},
		"accepted and never issued":           {of(spend(2, 3, 1, history.Accepted)), 1},
		"accepted after a failed issue":       {of(at(1, 1, 0, history.Issue, history.Failed), spend(2, 3, 1, history.Accepted)), 1},
		"accepted at its expiry":              {of(issue, spend(11, 12, 1, history.Accepted)), 1},
		"accepted just before":                {of(issue, spend(10, 12, 1, history.Accepted)), 0},
		"issued again and accepted again":     {of(issue, spend(2, 3, 1, history.Accepted), issue, spend(6, 7, 1, history.Accepted)), 1},
		"handed out again and accepted again": {of(issue, spend(2, 3, 1, history.Accepted), again, spend(6, 7, 1, history.Accepted)), 1},
		"failure that took effect":            {of(issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Used)), 0},
		"failure without effect":              {of(issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Accepted)), 0},
		"failure that took effect later":      {of(issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Unknown), spend(6, 7, 2, history.Used)), 0},
		"rejected and accepted later":         {of(issue, spend(2, 3, 1, history.Used), spend(4, 5, 2, history.Accepted)), 0},
		"failure that cannot have accepted":   {of(spend(2, 3, 1, history.Failed), issue, spend(12, 13, 2, history.Accepted)), 1},
		"failure between two acceptances":     {of(issue, spend(2, 3, 1, history.Accepted), spend(3, 4, 1, history.Failed), spend(4, 5, 2, history.Accepted)), 1},
		"lost before it was on disk":          {of(issue, spend(2, 3, 1, history.Unknown)), 0},
		"proof accepted once":                 {of(proof(2, 3, 1, history.Accepted), proof(4, 5, 2, history.Used)), 0},
		"proof accepted twice":                {of(proof(2, 3, 1, history.Accepted), proof(4, 5, 2, history.Accepted)), 1},
		"proof accepted at its end":           {of(proof(10, 11, 1, history.Accepted)), 1},
		"proof accepted just before":          {of(proof(9, 12, 1, history.Accepted)), 0},
		"issued by a clock that jumped":       {of(jumped, spend(15, 16, 1, history.Accepted)), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if r := history.Check(c.h); r.Violations != c.violations {
				t.Fatalf("%d violations, want %d: %v", r.Violations, c.violations, r.Examples)
			}
		})
	}
}

func TestSecondAcceptanceAmongFailuresIsFound(t *testing.T) {
	ops := []history.Op{at(1, 1, 0, history.Issue, history.Issued)}
	for range 300 {
		ops = append(ops, at(2, 9, 1, history.Consume, history.Failed), at(2, 9, 2, history.Consume, history.Used))
	}
	ops = append(ops, at(2, 9, 1, history.Consume, history.Accepted), at(2, 9, 2, history.Consume, history.Accepted))
	if r := history.Check(of(ops...)); r.Violations != 1 || r.Twice != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestRotationIssuesSuccessor(t *testing.T) {
	rotate := at(2, 3, 1, history.Rotate, history.Accepted)
	rotate.Next = "next"
	spend := at(4, 5, 2, history.Consume, history.Accepted)
	spend.Nonce = "next"
	r := history.Check(of(at(1, 1, 0, history.Issue, history.Issued), rotate, spend))
	if r.Violations != 0 || r.Accepted != 2 || r.Nonces != 2 {
		t.Fatalf("%+v", r)
	}
}

func TestUnacceptedNonceIsLost(t *testing.T) {
	issue := at(1, 1, 0, history.Issue, history.Issued)
	for outcome, lost := range map[history.Outcome]int{
		history.Accepted: 0, history.Failed: 0, history.Expired: 0, history.Used: 1, history.Unknown: 1,
	} {
		if r := history.Check(of(issue, at(2, 3, 1, history.Consume, history.Used), at(2, 3, 2, history.Consume, outcome))); r.Lost != lost {
			t.Errorf("%s: %d lost, want %d", outcome, r.Lost, lost)
		}
	}
}

func TestVacuousHistoryIsRefused(t *testing.T) {
	issue := at(1, 1, 0, history.Issue, history.Issued)
	spend := at(2, 3, 1, history.Consume, history.Accepted)
	for name, c := range map[string]struct {
		h        history.History
		accepted int
		vacuous  bool
	}{
		"contested":                {of(issue, spend, at(2, 3, 2, history.Consume, history.Used)), 1, false},
		"by one process":           {of(issue, spend, at(2, 3, 1, history.Consume, history.Used)), 1, true},
		"other one without answer": {of(issue, spend, at(2, 3, 2, history.Consume, history.Failed)), 1, true},
		"too few acceptances":      {of(issue, spend, at(2, 3, 2, history.Consume, history.Used)), 2, true},
	} {
		if err := history.Check(c.h).Vacuous(c.accepted); (err != nil) != c.vacuous {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := of(issue, at(2, 4, 1, history.Consume, history.Accepted), at(2, 3, 2, history.Consume, history.Used), at(5, 7, 1, history.Consume, history.Failed))
	for fault, vacuous := range map[history.Fault]bool{
		{From: 25e8, To: 26e8, Process: history.All}: false,
		{From: 25e8, To: 26e8, Process: 2}:           false,
		{From: 25e8, To: 35e8, Process: 2}:           true, // the call had its answer before the end
		{From: 35e8, To: 36e8, Process: 2}:           true, // only the other process has a call
		{From: 45e8, To: 46e8, Process: history.All}: true,
		{From: 60e8, To: 80e8, Process: history.All}: false, // the call failed
	} {
		h.Faults = []history.Fault{{From: 25e8, To: 26e8, Process: history.All}, fault}
		if err := history.Check(h).Vacuous(1); (err != nil) != vacuous {
			t.Errorf("%+v: %v", fault, err)
		}
	}
}

func TestLongestOutageIsMeasured(t *testing.T) {
	ops := []history.Op{at(1, 1, 0, history.Issue, history.Issued), at(2, 3, 0, history.Consume, history.Failed),
		at(2, 3, 0, history.Consume, history.Accepted), at(2, 6, 0, history.Consume, history.Used), at(2, 9, 0, history.Consume, history.Accepted)}
	if got := history.Check(of(ops...)).Outage; got != 6*time.Second {
		t.Fatal(got)
	}
}

func TestEachFormIsCounted(t *testing.T) {
	spend := func(kind history.Kind, nonce string) []history.Op {
		op := at(2, 3, 1, kind, history.Accepted)
		op.Nonce, op.Until = nonce, noon.Add(time.Minute)
		again := op
		again.Process = 2
		return []history.Op{op, again}
	}
	h := of(slices.Concat(spend(history.Consume, "n"), spend(history.Rotate, strings.Repeat("s", 60)), spend(history.Spend, "p"))...)
	r := history.Check(h)
	for form, tally := range r.Of {
		if want := (history.Tally{Accepted: 2, Twice: 1, Violations: 1}); tally != want {
			t.Errorf("%v: %+v, want %+v", history.Form(form), tally, want)
		}
	}
	if want := (history.Tally{Accepted: 6, Twice: 3, Violations: 3}); r.Tally != want {
		t.Errorf("all: %+v, want %+v", r.Tally, want)
	}
}
