package dpophttp

// Forget drops the current nonce of g, so that the next response issues one.
func Forget(g *Guard) {
	g.current.mu.Lock()
	defer g.current.mu.Unlock()
	g.current.nonce = ""
}
