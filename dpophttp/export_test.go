package dpophttp

import "time"

// Forget drops the current nonce of g, so that the next response issues one.
func Forget(g *Guard) {
	g.current.mu.Lock()
	defer g.current.mu.Unlock()
	g.current.nonce = ""
}

// SetClock replaces the clock of g.
func SetClock(g *Guard, now func() time.Time) { g.current.now = now }

// SetIssueTimeout replaces what bounds an Issue of g.
func SetIssueTimeout(g *Guard, d time.Duration) { g.current.timeout = d }
