package load

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// KillWorker kills worker i while it has a call in flight.
func (l *Load) KillWorker(i int) error {
	w := l.workers[i]
	for began := time.Now(); ; {
		if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond) // read takes the answers from before the stop
		if fault, ok := l.kill(w); ok {
			<-w.ended
			l.broke(fault)
			return nil
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("worker %d has no call in flight", i)
		}
		if err := w.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// kill kills w and reports true, unless w has no call in flight.
func (l *Load) kill(w *worker) (history.Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.calling() == 0 {
		return history.Fault{}, false
	}
	fault := history.Fault{From: history.Now(), Process: w.number}
	w.killed = true
	_ = w.cmd.Process.Kill()
	return fault, true
}

func (l *Load) broke(fault history.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault.To = history.Now()
	l.history.Faults = append(l.history.Faults, fault)
}

// Break calls what, which breaks something that all workers use, when at least half
// of their callers have a call in flight.
func (l *Load) Break(ctx context.Context, what func() error) error {
	if err := l.busy(ctx); err != nil {
		return err
	}
	fault := history.Fault{From: history.Now(), Process: history.All}
	if err := what(); err != nil {
		return err
	}
	l.broke(fault)
	return nil
}

// BreakAll is Break for workers that run the database themselves: it kills them all
// before it calls what. StartWorker starts them again.
func (l *Load) BreakAll(ctx context.Context, what func() error) error {
	return l.Break(ctx, func() error {
		l.mu.Lock()
		for _, w := range l.workers {
			w.killed = true
			_ = w.cmd.Process.Kill()
		}
		l.mu.Unlock()
		for _, w := range l.workers {
			<-w.ended
		}
		return what()
	})
}

func (l *Load) busy(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.wait(ctx, func() bool {
		callers, calling := 0, 0
		for _, w := range l.workers {
			callers += w.config.Callers
			calling += w.calling()
		}
		return calling >= callers/2
	}) {
		return fmt.Errorf("never did half of the callers have a call in flight; the last failure: %s", l.lastFailure())
	}
	return nil
}

// calling counts the calls that w has begun and not ended, as far as is known.
func (w *worker) calling() (n int) {
	for _, op := range w.pending {
		if op.Start > 0 {
			n++
		}
	}
	return n
}
