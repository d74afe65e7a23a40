package load

import (
	"math/rand/v2"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// next returns the next task of w. Another worker gets half of the nonces at the
// same time, and one call in ten is a replay. A worker whose last call failed gets
// no unpresented nonce: it issues or replays until a call succeeds.
func (l *Load) next(w *worker) task {
	other := l.competitor(w)
	// A worker that is much faster than its competitor also replays.
	behind := other != nil && len(other.waiting) > 2*other.config.Callers
	chance := rand.IntN(10)
	switch {
	case w.failing && chance < 5 || len(l.tried)+len(l.nonces) == 0:
		return task{Kind: history.Issue}
	case (w.failing || behind || chance == 0) && len(l.tried) > 0:
		return task{Kind: spending(), Nonce: l.tried[rand.IntN(len(l.tried))]}
	case len(w.waiting) > 0:
		n := len(w.waiting) - 1
		t := w.waiting[n]
		w.waiting = w.waiting[:n]
		return t
	case len(l.nonces) < inHand && chance < 7 || len(l.nonces) == 0:
		return task{Kind: history.Issue}
	}
	i := rand.IntN(len(l.nonces))
	nonce := l.nonces[i]
	l.nonces[i] = l.nonces[len(l.nonces)-1]
	l.nonces = l.nonces[:len(l.nonces)-1]
	if other != nil && rand.IntN(2) == 0 {
		other.waiting = append(other.waiting, task{Kind: spending(), Nonce: nonce})
	}
	return task{Kind: spending(), Nonce: nonce}
}

// spending returns Consume or Rotate at random.
func spending() history.Kind {
	if rand.IntN(2) == 0 {
		return history.Consume
	}
	return history.Rotate
}

// competitor returns another worker whose last call succeeded, or nil.
func (l *Load) competitor(w *worker) *worker {
	for _, i := range rand.Perm(len(l.workers)) {
		if other := l.workers[i]; other != w && other.pending != nil && !other.failing {
			return other
		}
	}
	return nil
}
