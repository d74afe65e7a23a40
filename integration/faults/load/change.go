package load

import (
	"context"
	"fmt"
)

// Configure changes the keys, the clock or the hold of the running worker i.
func (l *Load) Configure(ctx context.Context, i int, change func(*Config)) error {
	w := l.workers[i]
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&w.config)
	config := w.config
	id := l.sendTask(w, task{Kind: configure, Config: &config})
	return l.within(ctx, fmt.Sprintf("worker %d did not change", i), func() bool {
		_, waits := w.pending[id]
		return !waits
	})
}

// Settle waits until the calls that are in flight now have ended.
func (l *Load) Settle(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.lastID
	return l.within(ctx, "calls are still in flight", func() bool {
		for _, w := range l.workers {
			for id := range w.pending {
				if id <= last {
					return false
				}
			}
		}
		return true
	})
}

// Restart stops worker i, once its calls have ended, and starts it with another
// configuration.
func (l *Load) Restart(ctx context.Context, i int, change func(*Config)) error {
	w := l.workers[i]
	l.mu.Lock()
	w.leaving = true
	err := l.within(ctx, fmt.Sprintf("worker %d has calls in flight", i), func() bool { return len(w.pending) == 0 })
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := w.stdin.Close(); err != nil {
		return err
	}
	<-w.ended
	change(&w.config)
	return l.StartWorker(i)
}

// within waits until the condition holds. The caller holds l.mu.
func (l *Load) within(ctx context.Context, failure string, condition func() bool) error {
	if l.wait(ctx, func() bool { return condition() || l.ended != nil }) {
		return l.ended
	}
	return fmt.Errorf("after %v: %s", patience, failure)
}
