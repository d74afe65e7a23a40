package dpophttp

import "time"

// Forget makes g's next response issue a nonce.
func Forget(g *Guard) {
	g.current.mu.Lock()
	defer g.current.mu.Unlock()
	g.current.nonce = ""
}

// SetClock moves g by a clock.
func SetClock(g *Guard, now func() time.Time) { g.current.now = now }
