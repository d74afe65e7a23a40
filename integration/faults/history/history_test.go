package history_test

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// at is an operation on one nonce between two seconds.
func at(start, end int, process int, kind history.Kind, outcome history.Outcome) history.Op {
	return history.Op{Process: process, Kind: kind, Nonce: "n", Outcome: outcome, TTL: 10 * time.Second,
		Start: history.Instant(start) * 1e9, End: history.Instant(end) * 1e9, Clock: noon.Add(time.Duration(start) * time.Second)}
}

func TestHistoriesAreJudged(t *testing.T) {
	issue := at(1, 1, 0, history.Issue, history.Issued)
	spend := func(start, end, process int, outcome history.Outcome) history.Op {
		return at(start, end, process, history.Consume, outcome)
	}
	late := spend(11, 12, 1, history.Accepted)
	for name, c := range map[string]struct {
		ops        []history.Op
		violations int
	}{
		"accepted once":                       {[]history.Op{issue, spend(2, 3, 1, history.Accepted), spend(2, 3, 2, history.Used)}, 0},
		"accepted twice":                      {[]history.Op{issue, spend(2, 3, 1, history.Accepted), spend(4, 5, 2, history.Accepted)}, 1},
		"accepted twice at once":              {[]history.Op{issue, spend(2, 5, 1, history.Accepted), spend(3, 4, 2, history.Accepted)}, 1},
		"accepted before it was issued":       {[]history.Op{at(4, 5, 0, history.Issue, history.Issued), spend(2, 3, 1, history.Accepted)}, 1},
		"accepted and never issued":           {[]history.Op{spend(2, 3, 1, history.Accepted)}, 1},
		"accepted at its expiry":              {[]history.Op{issue, late}, 1},
		"accepted just before":                {[]history.Op{issue, spend(10, 12, 1, history.Accepted)}, 0},
		"a failure that took effect":          {[]history.Op{issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Used)}, 0},
		"a failure that did not":              {[]history.Op{issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Accepted)}, 0},
		"a failure that took effect later":    {[]history.Op{issue, spend(2, 3, 1, history.Failed), spend(4, 5, 2, history.Unknown), spend(6, 7, 2, history.Used)}, 0},
		"rejected, and accepted later":        {[]history.Op{issue, spend(2, 3, 1, history.Used), spend(4, 5, 2, history.Accepted)}, 0},
		"a failure that cannot have accepted": {[]history.Op{spend(2, 3, 1, history.Failed), issue, spend(12, 13, 2, history.Accepted)}, 1},
		"a failure between two acceptances":   {[]history.Op{issue, spend(2, 3, 1, history.Accepted), spend(3, 4, 1, history.Failed), spend(4, 5, 2, history.Accepted)}, 1},
		"lost before it was on disk":          {[]history.Op{issue, spend(2, 3, 1, history.Unknown)}, 0},
		"a caller that died took it with him": {[]history.Op{issue, at(2, 0, 1, history.Rotate, history.Failed), spend(4, 5, 2, history.Used)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if r := history.Check(c.ops); r.Violations != c.violations {
				t.Fatalf("%d violations, want %d: %v", r.Violations, c.violations, r.Examples)
			}
		})
	}
}

func TestASuccessorIsIssuedByItsRotation(t *testing.T) {
	rotate := at(2, 3, 1, history.Rotate, history.Accepted)
	rotate.Next = "next"
	spend := at(4, 5, 2, history.Consume, history.Accepted)
	spend.Nonce = "next"
	r := history.Check([]history.Op{at(1, 1, 0, history.Issue, history.Issued), rotate, spend})
	if r.Violations != 0 || r.Accepted != 2 || r.Nonces != 2 {
		t.Fatalf("%+v", r)
	}
}

func TestAVacuousHistoryIsAnError(t *testing.T) {
	issue := at(1, 1, 0, history.Issue, history.Issued)
	alone := []history.Op{issue, at(2, 3, 1, history.Consume, history.Accepted), at(2, 3, 1, history.Consume, history.Used)}
	if history.Check(alone).Vacuous(1) == nil {
		t.Error("nobody else tried the nonce")
	}
	alone[2].Process = 2
	if err := history.Check(alone).Vacuous(1); err != nil {
		t.Error(err)
	}
	if history.Check(alone).Vacuous(2) == nil {
		t.Error("one acceptance of two")
	}
}

func TestTheLongestOutageIsBetweenTwoAnswers(t *testing.T) {
	ops := []history.Op{at(1, 1, 0, history.Issue, history.Issued), at(2, 3, 0, history.Consume, history.Failed),
		at(2, 7, 0, history.Consume, history.Used), at(2, 9, 0, history.Consume, history.Used)}
	if got := history.Check(ops).Outage; got != 6*time.Second {
		t.Fatal(got)
	}
}
