package load

import (
	crand "crypto/rand"
	"math/rand/v2"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// next returns the next task of w. Another worker gets half of the nonces and
// proofs at the same time, and one call in ten is a replay. A worker whose last call
// failed gets no unpresented one: it issues or replays until a call succeeds.
func (l *Load) next(w *worker) task {
	other := l.competitor(w)
	// A worker that is much faster than its competitor also replays.
	behind := other != nil && len(other.waiting) > 2*other.config.Callers
	chance := rand.IntN(10)
	switch {
	case w.failing && chance < 5 || len(l.tried)+len(l.nonces) == 0:
		return task{Kind: history.Issue}
	case (w.failing || behind || chance == 0) && len(l.tried) > 0:
		return l.tried[rand.IntN(len(l.tried))].presented()
	case len(w.waiting) > 0:
		n := len(w.waiting) - 1
		t := w.waiting[n]
		w.waiting = w.waiting[:n]
		return t
	}
	t := proof(w)
	if rand.IntN(5) > 0 {
		if len(l.nonces) < inHand && chance < 7 || len(l.nonces) == 0 {
			return task{Kind: history.Issue}
		}
		i := rand.IntN(len(l.nonces))
		t = task{Nonce: l.nonces[i]}
		l.nonces[i] = l.nonces[len(l.nonces)-1]
		l.nonces = l.nonces[:len(l.nonces)-1]
	}
	if other != nil && rand.IntN(2) == 0 {
		other.waiting = append(other.waiting, t.presented())
	}
	return t.presented()
}

// proof returns a new proof, as a client makes it for w.
func proof(w *worker) task {
	return task{Kind: history.Spend, Nonce: crand.Text(), Until: w.config.now().Add(w.config.TTL)}
}

// presented returns the task for one caller: Spend for a proof, and Consume or
// Rotate at random for a nonce.
func (t task) presented() task {
	if t.Kind != history.Spend {
		t.Kind = []history.Kind{history.Consume, history.Rotate}[rand.IntN(2)]
	}
	return t
}

// competitor returns another worker whose last call succeeded, or nil.
func (l *Load) competitor(w *worker) *worker {
	for _, i := range rand.Perm(len(l.workers)) {
		if other := l.workers[i]; other != w && other.pending != nil && !other.failing && !other.leaving {
			return other
		}
	}
	return nil
}
