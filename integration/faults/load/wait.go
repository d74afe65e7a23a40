package load

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// patience is how long a load waits for a condition.
const patience = 90 * time.Second

// Accept waits until n more nonces are accepted, at least one by each worker whose
// number is not in but.
func (l *Load) Accept(ctx context.Context, n int, but ...int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, missing := make([]int, len(l.workers)), 0
	for i, w := range l.workers {
		before[i] = w.accepted
	}
	var idle []int
	if l.wait(ctx, func() bool {
		missing, idle = n, nil
		for i, w := range l.workers {
			missing -= w.accepted - before[i]
			if w.accepted == before[i] && !slices.Contains(but, i) {
				idle = append(idle, i)
			}
		}
		return missing <= 0 && len(idle) == 0 || l.ended != nil
	}) {
		return l.ended
	}
	return fmt.Errorf("after %v, %d acceptances are missing, and workers %v have none; the last failure: %s",
		patience, max(missing, 0), idle, l.lastFailure())
}

// Accepted returns how many nonces and proofs are accepted.
func (l *Load) Accepted() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.workers {
		n += w.accepted
	}
	return n
}

func (l *Load) lastFailure() string {
	ops := l.history.Ops
	for i := len(ops) - 1; i >= 0; i-- {
		if ops[i].Err != "" {
			return ops[i].Err
		}
	}
	return "none"
}

// wait waits until the condition holds. It reports false after a timeout. The
// caller holds l.mu.
func (l *Load) wait(ctx context.Context, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.changed.Broadcast()
	})
	defer stop()
	for !condition() && ctx.Err() == nil {
		l.changed.Wait()
	}
	return condition()
}
