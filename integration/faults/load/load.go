package load

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// How many nonces are kept in hand, and how many are remembered to be replayed.
const (
	inHand     = 2000
	remembered = 500
)

// patience is how long a load may take to get anywhere.
const patience = 90 * time.Second

// A Load is a set of workers that contend for nonces until it is stopped.
type Load struct {
	mu       sync.Mutex
	changed  *sync.Cond
	workers  []*worker
	nonces   []string // issued and not yet presented
	tried    []string // presented before
	history  history.History
	stopping bool
	lastID   int64
	ended    error // of a worker that was not told to end
}

type worker struct {
	number   int
	config   Config
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	tasks    *json.Encoder
	waiting  []task               // contested: others have them, too
	pending  map[int64]history.Op // sent and not answered; without a Start while not begun
	accepted int                  // calls
	failing  bool                 // its last call failed
	killed   bool
	ended    chan struct{}
}

// Start starts one worker for each config.
func Start(configs ...Config) (*Load, error) {
	l := &Load{}
	l.changed = sync.NewCond(&l.mu)
	for i, c := range configs {
		l.workers = append(l.workers, &worker{number: i, config: c})
	}
	for i := range l.workers {
		if err := l.StartWorker(i); err != nil {
			l.Stop()
			return nil, err
		}
	}
	return l, nil
}

// StartWorker starts worker i, again if it was killed.
func (l *Load) StartWorker(i int) error {
	w := l.workers[i]
	config, err := json.Marshal(w.config)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), workerVariable+"="+string(config))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.cmd, w.stdin, w.tasks = cmd, stdin, json.NewEncoder(stdin)
	w.pending, w.ended, w.killed, w.failing = map[int64]history.Op{}, make(chan struct{}), false, false
	for range w.config.Callers {
		l.send(w)
	}
	go l.read(w, stdout)
	return nil
}

// KillWorker kills worker i while it has a call in flight.
func (l *Load) KillWorker(i int) error {
	w := l.workers[i]
	for began := time.Now(); ; {
		if err := w.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond) // for read, to take what was answered before
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

// kill is false if w has no call in flight.
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

// Break breaks something that all workers use, while at least half of their
// callers seem to be in a call.
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
		return fmt.Errorf("half of the callers were never in a call; the last failure: %s", l.lastFailure())
	}
	return nil
}

// calling is how many calls w is known to have begun and not to have ended.
func (w *worker) calling() (n int) {
	for _, op := range w.pending {
		if op.Start > 0 {
			n++
		}
	}
	return n
}

// read takes what a worker says of its calls, and gives it another task for
// each that has ended.
func (l *Load) read(w *worker, stdout io.Reader) {
	defer close(w.ended)
	decoder := json.NewDecoder(bufio.NewReader(stdout))
	for {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			break // it has ended
		}
		a.Op.Process = w.number
		l.mu.Lock()
		if a.Op.Outcome == begun {
			w.pending[a.ID] = a.Op
		} else {
			delete(w.pending, a.ID)
			l.record(w, a.Op)
			l.send(w)
		}
		l.changed.Broadcast()
		l.mu.Unlock()
	}
	err := w.cmd.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.killed && (err != nil || !l.stopping) {
		l.ended = fmt.Errorf("worker %d ended by itself: %v", w.number, err)
	}
	for _, op := range w.pending {
		if op.Start > 0 { // nobody knows
			op.Outcome, op.End = history.Failed, history.Now()
			l.record(w, op)
		}
	}
	w.pending = nil
	l.changed.Broadcast()
}

// record keeps an operation of w, and the nonces that it leaves.
func (l *Load) record(w *worker, op history.Op) {
	l.history.Ops = append(l.history.Ops, op)
	w.failing = op.Outcome == history.Failed
	switch {
	case op.Outcome == history.Accepted:
		w.accepted++
		fallthrough
	case op.Kind != history.Issue && op.Outcome == history.Failed:
		if len(l.tried) == remembered {
			l.tried[rand.IntN(remembered)] = op.Nonce
		} else {
			l.tried = append(l.tried, op.Nonce)
		}
	case op.Kind == history.Issue && op.Outcome == history.Issued:
		l.nonces = append(l.nonces, op.Nonce)
	}
	if op.Next != "" {
		l.nonces = append(l.nonces, op.Next)
	}
}

// send gives w a task, unless the load is stopping.
func (l *Load) send(w *worker) {
	if l.stopping {
		return
	}
	l.lastID++
	t := l.next(w)
	t.ID = l.lastID
	w.pending[t.ID] = history.Op{}
	_ = w.tasks.Encode(t) // it fails if the worker was killed: read notices
}

// next is what w does next: half of the nonces are contested by another worker
// at the same time, and one call in ten replays. Who is failing gets no new
// nonce, and tries until he is well again.
func (l *Load) next(w *worker) task {
	other := l.competitor(w)
	// Who is so much faster that the other has fallen behind replays, too.
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

// spending is one of the calls that spend a nonce.
func spending() history.Kind {
	if rand.IntN(2) == 0 {
		return history.Consume
	}
	return history.Rotate
}

// competitor is another worker that gets answers; nil if there is none.
func (l *Load) competitor(w *worker) *worker {
	for _, i := range rand.Perm(len(l.workers)) {
		if other := l.workers[i]; other != w && other.pending != nil && !other.failing {
			return other
		}
	}
	return nil
}

// Accept waits until n more nonces are accepted, at least one of them by each
// worker but those named.
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
	return fmt.Errorf("after %v %d acceptances were missing, and all of workers %v; the last failure: %s",
		patience, max(missing, 0), idle, l.lastFailure())
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

// wait waits for a condition, with l.mu held. It is false after a timeout.
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

// Stop lets the calls in flight end and returns the history.
func (l *Load) Stop() (history.History, error) {
	l.mu.Lock()
	l.stopping = true
	quiet := l.wait(context.Background(), func() bool {
		for _, w := range l.workers {
			if len(w.pending) > 0 {
				return false
			}
		}
		return true
	})
	l.mu.Unlock()
	for _, w := range l.workers {
		if w.cmd == nil {
			continue
		}
		_ = w.stdin.Close()
		if !quiet {
			_ = w.cmd.Process.Kill()
		}
		<-w.ended
	}
	if !quiet {
		return l.history, fmt.Errorf("calls were in flight %v after the last task", patience)
	}
	return l.history, l.ended
}
