package dpopnonce

import "sync"

// alone counts the nonces that callers accept alone, which others must then not
// take into a batch: a row that a transaction holds delays its own callers only.
type alone struct {
	mu     sync.Mutex
	nonces map[string]int
}

// has reports whether nonce is accepted alone now.
func (a *alone) has(nonce string) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nonces[nonce] > 0
}

// add counts nonce until the function that it returns is called.
func (a *alone) add(nonce string) (done func()) {
	if a == nil {
		return func() {}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nonces[nonce]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.nonces[nonce]--; a.nonces[nonce] == 0 {
			delete(a.nonces, nonce)
		}
	}
}
