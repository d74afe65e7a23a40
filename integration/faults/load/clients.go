package load

import (
	"math/rand/v2"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
)

// A client presents the nonce that it was given last, to any worker, and to one at a
// time. It keeps its nonces to itself.
type client struct {
	nonce      string          // "" before the first one, and after a failure
	since      history.Instant // when the call that returned nonce began
	challenged int             // how often a nonce was refused before its time was over
}

// Clients is what clients were told since the last report.
type Clients struct {
	Rotations  int // successful ones
	Challenged int // clients whose nonce was refused
	Most       int // how often one client's was
}

// AddClients adds n clients.
func (l *Load) AddClients(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		c := &client{}
		l.clients, l.idle = append(l.clients, c), append(l.idle, c)
	}
}

// ReportClients returns the report, and begins the next one.
func (l *Load) ReportClients() Clients {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := Clients{Rotations: l.rotations}
	l.rotations = 0
	for _, c := range l.clients {
		if c.challenged > 0 {
			all.Challenged++
		}
		all.Most = max(all.Most, c.challenged)
		c.challenged = 0
	}
	return all
}

// visit returns the task of a client and remembers whose it is, or reports false.
func (l *Load) visit(id int64) (task, bool) {
	if len(l.idle) == 0 || rand.IntN(6) > 0 {
		return task{}, false
	}
	i := rand.IntN(len(l.idle))
	c := l.idle[i]
	l.idle[i] = l.idle[len(l.idle)-1]
	l.idle = l.idle[:len(l.idle)-1]
	if l.visits == nil {
		l.visits = map[int64]*client{}
	}
	l.visits[id] = c
	if c.nonce == "" {
		return task{Kind: history.Issue}, true
	}
	return task{Kind: history.Rotate, Nonce: c.nonce}, true
}

// leave gives a client the answer to its task, and reports whether it is one's.
func (l *Load) leave(id int64, op history.Op) bool {
	c := l.visits[id]
	if c == nil {
		return false
	}
	delete(l.visits, id)
	l.idle = append(l.idle, c)
	switch op.Outcome {
	case history.Issued:
		c.nonce = op.Nonce
	case history.Accepted:
		c.nonce = op.Next
		l.rotations++
	case history.Failed:
		c.nonce = ""
	default:
		c.nonce = op.Next
		if time.Duration(op.End-c.since) < op.TTL-time.Second { // else the machine was too slow
			c.challenged++
		}
	}
	c.since = op.Start
	return true
}
