package dialecttest

import (
	"testing"

	"github.com/attesto/dpopnonce"
)

// purpose is what the suite's sealed nonces are for.
const purpose = "https://as.example/token"

func newSealer(t testing.TB, purpose string, keys ...dpopnonce.Key) *dpopnonce.Sealer {
	t.Helper()
	s, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: purpose, Keys: keys})
	wantIs(t, err, nil)
	return s
}

// suiteKey is the key of all repositories that sealed returns.
var suiteKey = dpopnonce.NewKey()

// sealed returns a repository on the case's table that issues sealed nonces, as
// a node of its own.
func (e *env) sealed(t testing.TB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	t.Helper()
	return e.repository(t, e.db, append(opts, dpopnonce.WithSealer(newSealer(t, purpose, suiteKey)))...)
}

// otherNode returns a repository that another process may have.
func (w way) otherNode(t testing.TB, e *env) *dpopnonce.Repository {
	t.Helper()
	return e.sealed(t)
}
