package history_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// seeds is how many histories are made for each kind of wrong answer.
const seeds = 300

// random returns a history of a correct store, whose calls overlap, fail with and
// without effect, and come too late. It takes place within 20 s, and nonces live 10 s.
func random(r *rand.Rand) (ops []history.Op) {
	for i := range 20 {
		nonce := fmt.Sprint("nonce", i)
		issue := call(r, r.IntN(5_000), history.Issue, nonce)
		issue.Outcome = history.Issued
		if r.IntN(2) == 0 { // the successor of a nonce that was rejected or accepted
			issue.Kind, issue.Nonce, issue.Next, issue.Outcome = history.Rotate, nonce+"'s predecessor", nonce, history.Unknown
		}
		expires := issue.Clock.Truncate(time.Second).Add(issue.TTL)
		calls, effects := []history.Op{issue}, map[int]history.Instant{}
		for j := range 2 + r.IntN(8) {
			kind := []history.Kind{history.Consume, history.Rotate}[r.IntN(2)]
			op := call(r, r.IntN(20_000), kind, nonce)
			effects[j+1] = op.Start + history.Instant(r.Int64N(int64(op.End-op.Start)))
			calls = append(calls, op)
		}
		issued := issue.Start + history.Instant(r.Int64N(int64(issue.End-issue.Start)))
		byEffect := make([]int, 0, len(effects))
		for j := range effects {
			byEffect = append(byEffect, j)
		}
		slices.SortFunc(byEffect, func(a, b int) int { return int(effects[a] - effects[b]) })
		spent := false
		for _, j := range byEffect {
			op := &calls[j]
			fails := r.IntN(5) == 0
			switch judged := noon.Add(time.Duration(effects[j])); {
			case fails && r.IntN(2) == 0: // without effect
			case effects[j] < issued:
				op.Outcome = history.Unknown
			case spent:
				op.Outcome = history.Used
			case !judged.Before(expires):
				op.Outcome = history.Expired
			default:
				op.Outcome, spent = history.Accepted, true
			}
			if fails {
				op.Outcome = history.Failed
			}
		}
		ops = append(ops, calls...)
	}
	r.Shuffle(len(ops), func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return ops
}

// call returns a call that starts some milliseconds after noon and takes up to 3 s.
func call(r *rand.Rand, start int, kind history.Kind, nonce string) history.Op {
	from := history.Instant(start) * 1e6
	return history.Op{Process: r.IntN(4), Kind: kind, Nonce: nonce, TTL: 10 * time.Second,
		Start: from, End: from + 1 + history.Instant(r.IntN(3e9)), Clock: noon.Add(time.Duration(from))}
}

// birth returns the index of the call that issued a nonce.
func birth(ops []history.Op, nonce string) int {
	return slices.IndexFunc(ops, func(op history.Op) bool {
		return op.Next == nonce || op.Kind == history.Issue && op.Nonce == nonce
	})
}

// accepts returns the index of the acceptance of a nonce, or -1.
func accepts(ops []history.Op, nonce string) int {
	return slices.IndexFunc(ops, func(op history.Op) bool { return op.Nonce == nonce && op.Outcome == history.Accepted })
}

// Wrong answers. Each function makes an answer wrong, if the history has one of a
// call at i that can be.
var wrong = map[string]func(ops []history.Op, i int) bool{
	"accepted again": func(ops []history.Op, i int) bool {
		if ops[i].Outcome != history.Used || accepts(ops, ops[i].Nonce) < 0 {
			return false
		}
		ops[i].Outcome = history.Accepted
		return true
	},
	"accepted after its expiry": func(ops []history.Op, i int) bool {
		if ops[i].Outcome != history.Expired || accepts(ops, ops[i].Nonce) >= 0 {
			return false
		}
		issue := ops[birth(ops, ops[i].Nonce)]
		latest := issue.Clock.Add(time.Duration(issue.End - issue.Start)).Truncate(time.Second).Add(issue.TTL)
		if ops[i].Clock.Before(latest) {
			return false
		}
		ops[i].Outcome = history.Accepted
		return true
	},
	"accepted before it was issued": func(ops []history.Op, i int) bool {
		if ops[i].Outcome != history.Unknown || accepts(ops, ops[i].Nonce) >= 0 {
			return false
		}
		issue := birth(ops, ops[i].Nonce)
		if issue < 0 || ops[i].End >= ops[issue].Start {
			return false
		}
		ops[i].Outcome = history.Accepted
		return true
	},
	"accepted and never issued": func(ops []history.Op, i int) bool {
		if ops[i].Outcome != history.Accepted {
			return false
		}
		ops[i].Nonce = "forged"
		return true
	},
	"accepted although its issue failed": func(ops []history.Op, i int) bool {
		if ops[i].Outcome != history.Accepted {
			return false
		}
		issue := &ops[birth(ops, ops[i].Nonce)]
		issue.Outcome, issue.Next = history.Failed, ""
		return true
	},
	"issued again and accepted again": func(ops []history.Op, i int) bool {
		first := accepts(ops, ops[i].Nonce)
		if ops[i].Outcome != history.Used || first < 0 || ops[i].Start < ops[first].End {
			return false
		}
		for j := range ops { // the second issue is the successor of another nonce
			if ops[j].Kind == history.Rotate && ops[j].Next == "" && ops[j].Nonce != ops[i].Nonce && ops[j].End < ops[i].Start {
				ops[j].Next, ops[i].Outcome = ops[i].Nonce, history.Accepted
				return true
			}
		}
		return false
	},
}

func TestCorrectHistoriesPass(t *testing.T) {
	for seed := range uint64(seeds) {
		h := of(random(rand.New(rand.NewPCG(seed, 0)))...)
		if r := history.Check(h); r.Violations+r.Twice > 0 {
			t.Errorf("seed %d: %d violations: %v", seed, r.Violations, r.Examples)
		}
	}
}

func TestOneWrongAnswerIsFound(t *testing.T) {
	for name, spoil := range wrong {
		t.Run(name, func(t *testing.T) {
			spoilt := 0
			for seed := range uint64(seeds) {
				ops := random(rand.New(rand.NewPCG(seed, 0)))
				i := 0
				for i < len(ops) && !spoil(ops, i) {
					i++
				}
				if i == len(ops) {
					continue // no answer of this history can be wrong in this way
				}
				spoilt++
				if r := history.Check(of(ops...)); r.Violations != 1 {
					t.Errorf("seed %d: %d violations, want 1: %+v", seed, r.Violations, ops[i])
				}
			}
			if spoilt < seeds/3 {
				t.Errorf("only %d of %d histories were spoilt", spoilt, seeds)
			}
		})
	}
}
