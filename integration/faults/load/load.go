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
	"sync"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

const (
	inHand     = 2000 // unpresented nonces that a load keeps
	remembered = 500  // presented nonces and proofs that it keeps for replays
)

// A Load is a set of workers that contend for nonces and proofs until it is stopped.
type Load struct {
	mu       sync.Mutex
	changed  *sync.Cond
	workers  []*worker
	nonces   []string // issued and not yet presented
	tried    []task   // presented before
	history  history.History
	stopping bool

	clients   []*client
	idle      []*client         // without a call in flight
	visits    map[int64]*client // by the task in flight
	rotations int               // of clients, since the last report

	lastID int64
	ended  error // of a worker that ended by itself
}

type worker struct {
	number   int
	config   Config
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	tasks    *json.Encoder
	waiting  []task               // what another worker also presents
	pending  map[int64]history.Op // sent and not answered; without a Start until begun
	accepted int                  // calls
	failing  bool                 // the last call failed
	killed   bool
	leaving  bool // gets no tasks, and ends
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

// StartWorker starts worker i, for the first time or after it was killed.
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
	if w.config.Namespace != "" {
		cmd = exec.Command("ip", "netns", "exec", w.config.Namespace, self)
	}
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
	w.pending, w.ended, w.killed, w.failing, w.leaving = map[int64]history.Op{}, make(chan struct{}), false, false, false
	for range w.config.Callers {
		l.send(w)
	}
	go l.read(w, stdout)
	return nil
}

// read records the answers of a worker, and sends it a new task for each call that
// ended.
func (l *Load) read(w *worker, stdout io.Reader) {
	defer close(w.ended)
	decoder := json.NewDecoder(bufio.NewReader(stdout))
	for {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			break // the worker has ended
		}
		a.Op.Process = w.number
		l.mu.Lock()
		switch {
		case a.Op.Outcome == begun:
			w.pending[a.ID] = a.Op
		case a.Op.Kind == configure:
			delete(w.pending, a.ID)
		default:
			delete(w.pending, a.ID)
			l.record(w, a.ID, a.Op)
			l.send(w)
		}
		l.changed.Broadcast()
		l.mu.Unlock()
	}
	err := w.cmd.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.killed && (err != nil || !l.stopping && !w.leaving) {
		l.ended = fmt.Errorf("worker %d ended by itself: %v", w.number, err)
	}
	for id, op := range w.pending {
		if op.Start > 0 { // whether it took effect is not known
			op.Outcome, op.End = history.Failed, history.Now()
			l.record(w, id, op)
		}
	}
	w.pending = nil
	l.changed.Broadcast()
}

// record adds an operation of w to the history and keeps its nonces.
func (l *Load) record(w *worker, id int64, op history.Op) {
	l.history.Ops = append(l.history.Ops, op)
	if op.Kind != history.Issue || op.Form() != history.Sealed { // which needs no database
		w.failing = op.Outcome == history.Failed
	}
	visited := l.leave(id, op)
	switch {
	case op.Outcome == history.Accepted:
		w.accepted++
		fallthrough
	case op.Kind != history.Issue && op.Outcome == history.Failed:
		t := task{Kind: op.Kind, Nonce: op.Nonce, Until: op.Until}
		if len(l.tried) == remembered {
			l.tried[rand.IntN(remembered)] = t
		} else {
			l.tried = append(l.tried, t)
		}
	case op.Kind == history.Issue && op.Outcome == history.Issued && !visited:
		l.nonces = append(l.nonces, op.Nonce)
	}
	if op.Next != "" && !visited {
		l.nonces = append(l.nonces, op.Next)
	}
}

// send gives w a task, unless the load is stopping.
func (l *Load) send(w *worker) {
	if l.stopping || w.leaving {
		return
	}
	t, visits := l.visit(l.lastID + 1)
	if !visits {
		t = l.next(w)
	}
	l.sendTask(w, t)
}

func (l *Load) sendTask(w *worker, t task) (id int64) {
	l.lastID++
	t.ID = l.lastID
	w.pending[t.ID] = history.Op{}
	_ = w.tasks.Encode(t) // fails if the worker was killed, which read notices
	return t.ID
}

// Stop waits for the calls in flight, ends the workers and returns the history.
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
		return l.history, fmt.Errorf("calls are still in flight %v after the last task", patience)
	}
	return l.history, l.ended
}
