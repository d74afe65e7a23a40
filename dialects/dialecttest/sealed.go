package dialecttest

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

var sealedCases = []testCase{
	{name: "accepts a sealed nonce once", run: sealedOnce},
}

// sealed returns a repository on the case's table that issues sealed nonces.
func (e *env) sealed(t testing.TB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	t.Helper()
	s, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "dialecttest", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	wantIs(t, err, nil)
	return e.repository(t, e.db, append(opts, dpopnonce.WithSealer(s))...)
}

func sealedOnce(t *testing.T, e *env) {
	r := e.sealed(t)
	sent := statements(t, e.db)
	nonce, err := r.Issue(ctx, time.Minute)
	wantIs(t, err, nil)
	wantNoStatement(t, sent)
	wantIs(t, r.Check(ctx, nonce, time.Minute), nil)
	wantIs(t, r.Consume(ctx, nonce, time.Minute), nil)
	wantIs(t, r.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
	wantIs(t, r.Check(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
	next, err := r.Rotate(ctx, nonce, time.Minute)
	wantIs(t, err, dpopnonce.ErrUsed)
	next, err = r.Rotate(ctx, next, time.Minute)
	wantIs(t, err, nil)
	wantIs(t, r.Consume(ctx, next, time.Minute), nil)
}
