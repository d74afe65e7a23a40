package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// How many nonces are kept in hand, and how many are remembered to be replayed.
const (
	inHand     = 2000
	remembered = 500
)

// A Load is a set of workers that contend for nonces until it is stopped.
type Load struct {
	mu       sync.Mutex
	changed  *sync.Cond
	workers  []*worker
	nonces   []string // issued and not yet presented
	tried    []string // presented before
	ops      []history.Op
	accepted int
	answered int // calls that did not fail
	stopping bool
	lastID   int64
}

type worker struct {
	number  int
	config  Config
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	tasks   *json.Encoder
	waiting []task         // contested: others have them, too
	pending map[int64]call // sent and not answered
	ended   chan struct{}
}

type call struct {
	task
	start history.Instant
	clock time.Time
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
	w.pending, w.ended = map[int64]call{}, make(chan struct{})
	for range w.config.Callers {
		l.send(w)
	}
	go l.read(w, stdout)
	return nil
}

// KillWorker kills worker i, and returns how many of its calls were in flight.
func (l *Load) KillWorker(i int) (inFlight int, err error) {
	w := l.workers[i]
	l.mu.Lock()
	inFlight = len(w.pending)
	l.mu.Unlock()
	if err := w.cmd.Process.Kill(); err != nil {
		return 0, err
	}
	<-w.ended
	return inFlight, nil
}

// read takes the answers of a worker, and gives it another task for each.
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
		delete(w.pending, a.ID)
		l.record(a.Op)
		l.send(w)
		l.changed.Broadcast()
		l.mu.Unlock()
	}
	_ = w.cmd.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range w.pending { // nobody knows
		l.record(history.Op{Process: w.number, Kind: c.Kind, Nonce: c.Nonce, Outcome: history.Failed,
			Start: c.start, Clock: c.clock, TTL: w.config.TTL})
	}
	w.pending = nil
	l.changed.Broadcast()
}

// record keeps an operation, and the nonces that it leaves.
func (l *Load) record(op history.Op) {
	l.ops = append(l.ops, op)
	if op.Outcome != history.Failed {
		l.answered++
	}
	switch {
	case op.Outcome == history.Accepted:
		l.accepted++
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
	w.pending[t.ID] = call{t, history.Now(), w.config.now()}
	_ = w.tasks.Encode(t) // it fails if the worker was killed: read notices
}

// next is what w does next: half of the nonces are contested by another worker
// at the same time, and one call in ten replays.
func (l *Load) next(w *worker) task {
	if n := len(w.waiting) - 1; n >= 0 {
		t := w.waiting[n]
		w.waiting = w.waiting[:n]
		return t
	}
	kind := history.Consume
	if rand.IntN(2) == 0 {
		kind = history.Rotate
	}
	n := len(l.workers)
	other := l.workers[(w.number+1+rand.IntN(max(n-1, 1)))%n]
	// Who is so much faster that the other has fallen behind replays, too.
	behind := len(other.waiting) > 2*other.config.Callers
	switch chance := rand.IntN(10); {
	case (chance == 0 || behind) && len(l.tried) > 0:
		return task{Kind: kind, Nonce: l.tried[rand.IntN(len(l.tried))]}
	case len(l.nonces) < inHand && chance < 7 || len(l.nonces) == 0:
		return task{Kind: history.Issue}
	}
	i := rand.IntN(len(l.nonces))
	nonce := l.nonces[i]
	l.nonces[i] = l.nonces[len(l.nonces)-1]
	l.nonces = l.nonces[:len(l.nonces)-1]
	if other != w && other.pending != nil && rand.IntN(2) == 0 { // it lives
		other.waiting = append(other.waiting, task{Kind: history.Consume, Nonce: nonce})
	}
	return task{Kind: kind, Nonce: nonce}
}

// InFlight is how many calls are on their way.
func (l *Load) InFlight() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inFlight()
}

func (l *Load) inFlight() (n int) {
	for _, w := range l.workers {
		n += len(w.pending)
	}
	return n
}

// Accept waits until n more nonces are accepted.
func (l *Load) Accept(n int, within time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := l.accepted + n
	if !l.wait(within, func() bool { return l.accepted >= want }) {
		return fmt.Errorf("%d acceptances were missing after %v; the last failure: %s", want-l.accepted, within, l.lastFailure())
	}
	return nil
}

func (l *Load) lastFailure() string {
	for i := len(l.ops) - 1; i >= 0; i-- {
		if l.ops[i].Err != "" {
			return l.ops[i].Err
		}
	}
	return "none"
}

// wait waits for a condition, with l.mu held. It is false after a timeout.
func (l *Load) wait(within time.Duration, condition func() bool) bool {
	late := false
	timer := time.AfterFunc(within, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		late = true
		l.changed.Broadcast()
	})
	defer timer.Stop()
	for !condition() && !late {
		l.changed.Wait()
	}
	return condition()
}

// Stop lets the calls in flight end and returns the history.
func (l *Load) Stop() ([]history.Op, error) {
	l.mu.Lock()
	l.stopping = true
	quiet := l.wait(time.Minute, func() bool { return l.inFlight() == 0 })
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
		return l.ops, errors.New("calls were in flight a minute after the last task")
	}
	return l.ops, nil
}
