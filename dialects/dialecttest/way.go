package dialecttest

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// life is for how long the cases that do not say otherwise make things
// acceptable.
const life = time.Minute

// A way is one of those in which something is accepted by one INSERT.
type way struct {
	*dpopnonce.Repository
	name    string
	new     func(testing.TB) string // what is good from noon on for life
	present func(context.Context, *dpopnonce.Repository, string) error
	again   error // the outcome of a second time
	opts    []dpopnonce.Option
}

// eachWay runs fn for every way, with a repository that has opts.
func eachWay(fn func(*testing.T, *env, way), opts ...dpopnonce.Option) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		r := e.sealed(t, opts...)
		issue := func(t testing.TB) string {
			t.Helper()
			nonce, err := r.Issue(ctx, life)
			wantIs(t, err, nil)
			return nonce
		}
		for _, w := range []way{
			{r, "Consume", issue, func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
				return consume(ctx, r, nonce, life)
			}, dpopnonce.ErrUsed, opts},
			{r, "Rotate", issue, func(ctx context.Context, r *dpopnonce.Repository, nonce string) error {
				return rotate(ctx, r, nonce, life)
			}, dpopnonce.ErrUsed, opts},
			{r, "Spend", func(testing.TB) string { return newName() }, func(ctx context.Context, r *dpopnonce.Repository, id string) error {
				return r.Spend(ctx, id, noon.Add(life))
			}, dpopnonce.ErrReplayed, opts},
		} {
			w := w
			t.Run(w.name, func(t *testing.T) {
				e.clock.Set(noon)
				fn(t, e, w)
			})
		}
	}
}

// newMany returns n things to present.
func (w way) newMany(t testing.TB, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		all[i] = w.new(t)
	}
	return all
}

// otherNode returns a repository that another process may have.
func (w way) otherNode(t testing.TB, e *env) *dpopnonce.Repository {
	t.Helper()
	return e.sealed(t)
}

// nodes are w's repository and those of other processes, some with w's options.
func (w way) nodes(t testing.TB, e *env) []*dpopnonce.Repository {
	t.Helper()
	sealer := dpopnonce.WithSealer(newSealer(t, purpose, suiteKey))
	all := append(e.nodes(t, append([]dpopnonce.Option{sealer}, w.opts...)...)[:4], e.nodes(t, sealer)[:3]...)
	return append(all, w.Repository)
}

// onDB returns w's repository on another handle of the database.
func (w way) onDB(t testing.TB, e *env, db *gorm.DB) *dpopnonce.Repository {
	t.Helper()
	opts := append([]dpopnonce.Option(nil), w.opts...)
	return e.repository(t, db, append(opts, dpopnonce.WithSealer(newSealer(t, purpose, suiteKey)))...)
}
