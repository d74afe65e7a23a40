package dialecttest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// sealedFleetCases are about nodes, tables, purposes and keys.
var sealedFleetCases = []testCase{
	{name: "opens in no other table, purpose or key", run: sealedElsewhere},
	{name: "stored, opener and sealer nodes share a table", run: sealedFleet},
	{name: "accepts from a node ahead, up to Tolerance", run: sealedAhead},
	{name: "keys change under load, rejecting nothing", run: sealedRotation()},
	{name: "keys change under group commit, rejecting nothing", run: sealedRotation(dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "rejects all when all keys are replaced", run: sealedReplaced},
	{name: "SetKeys that fails changes nothing", run: sealedFailedSetKeys},
	{name: "refuses a nil Sealer and both options", run: sealedOptions},
}

// sealedElsewhere also asks a Sealer by itself, and gives its nonces to tables.
func sealedElsewhere(t *testing.T, e *env) {
	alone := newSealer(t, purpose, suiteKey)
	at := func(s *dpopnonce.Sealer, table string) *dpopnonce.Repository {
		return e.repository(t, e.db, dpopnonce.WithSealer(s), dpopnonce.WithTable(table))
	}
	other := newName()
	migrate(t, e.on(t, other))
	here, there := at(alone, e.table), at(alone, other)
	strangers := map[string]*dpopnonce.Repository{
		"another table":   there,
		"another purpose": at(newSealer(t, purpose+"/", suiteKey), e.table),
		"another key":     at(newSealer(t, purpose, dpopnonce.NewKey()), e.table),
	}
	nonce, err := here.Issue(ctx, life)
	wantIs(t, err, nil)
	sent := statements(t, e.db)
	for name, r := range strangers {
		for _, p := range []presenter{checking, consuming, rotating} {
			if err := p.present(ctx, r, nonce, life); err != dpopnonce.ErrUnknown {
				t.Errorf("%s: got %v", name, err)
			}
		}
		theirs, err := r.Issue(ctx, life)
		wantIs(t, err, nil)
		wantIs(t, here.Consume(ctx, theirs, life), dpopnonce.ErrUnknown)
		wantIs(t, alone.Check(ctx, theirs, life), dpopnonce.ErrUnknown)
	}
	wantIs(t, alone.Check(ctx, nonce, life), dpopnonce.ErrUnknown)
	byItself, err := alone.Issue(ctx, life)
	wantIs(t, err, nil)
	current, err := alone.Current(life)
	wantIs(t, err, nil)
	for _, nonce := range []string{byItself, current} {
		for _, r := range []*dpopnonce.Repository{here, there} {
			for _, p := range []presenter{checking, consuming, rotating} {
				wantIs(t, p.present(ctx, r, nonce, life), dpopnonce.ErrUnknown)
			}
		}
	}
	wantNoStatement(t, sent)
	wantIs(t, here.Consume(ctx, nonce, life), nil)
}

// sealedFleet presents the nonces of three nodes to each of them, in every order
// of two.
func sealedFleet(t *testing.T, e *env) {
	sealer := newSealer(t, purpose, suiteKey)
	storing := e.Repository
	opens, seals := e.repository(t, e.db, dpopnonce.WithOpener(sealer)), e.repository(t, e.db, dpopnonce.WithSealer(sealer))
	nodes := []*dpopnonce.Repository{storing, opens, seals}
	for _, issuer := range nodes {
		for _, first := range nodes {
			for _, second := range nodes {
				for _, p := range []presenter{consuming, rotating} {
					nonce, err := issuer.Issue(ctx, life)
					wantIs(t, err, nil)
					if isSealed(nonce) != (issuer == seals) {
						t.Fatalf("issued %q", nonce)
					}
					accepted := 0
					for _, node := range []*dpopnonce.Repository{first, second} {
						want := error(nil)
						switch {
						case accepted > 0:
							want = dpopnonce.ErrUsed // the row tells a storing node as well
						case issuer == seals && node == storing:
							want = dpopnonce.ErrUnknown
						}
						wantIs(t, node.Check(ctx, nonce, life), want)
						err := p.present(ctx, node, nonce, life)
						wantIs(t, err, want)
						if err == nil {
							accepted++
						}
					}
				}
			}
		}
	}
}

// sealedAhead issues by the clock of a node that is ahead, presents by one that
// is not, and sweeps by the first.
func sealedAhead(t *testing.T, e *env) {
	seals := e.sealed(t)
	for ahead, want := range map[time.Duration]error{
		dpopnonce.Tolerance + time.Second - 1: nil, dpopnonce.Tolerance + time.Second: dpopnonce.ErrExpired, time.Hour: dpopnonce.ErrExpired,
	} {
		e.clock.Set(noon.Add(ahead))
		nonce, err := seals.Issue(ctx, life)
		wantIs(t, err, nil)
		e.clock.Set(noon)
		wantIs(t, seals.Check(ctx, nonce, life), want)
		wantIs(t, seals.Consume(ctx, nonce, life), want)
		if want != nil {
			continue
		}
		e.clock.Set(noon.Add(ahead + dpopnonce.Tolerance))
		_, err = seals.Sweep(ctx)
		wantIs(t, err, nil)
		e.clock.Set(noon)
		wantIs(t, seals.Consume(ctx, nonce, life), dpopnonce.ErrUsed)
	}
}

// sealedRotation changes the keys of two nodes as SetKeys says, again and again,
// while nonces of each are presented to the other.
func sealedRotation(opts ...dpopnonce.Option) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		key := dpopnonce.NewKey()
		sealers := []*dpopnonce.Sealer{newSealer(t, purpose, key), newSealer(t, purpose, key)}
		var nodes []*dpopnonce.Repository
		for _, s := range sealers {
			nodes = append(nodes, e.repository(t, e.db, append(opts[:len(opts):len(opts)], dpopnonce.WithSealer(s))...))
		}
		connect(t, e.db)
		var alive sync.RWMutex // read for as long as a nonce lives
		expire := func() {
			alive.Lock()
			defer alive.Unlock()
		}
		var stop atomic.Bool
		rotate := func(i int) error {
			alive.RLock()
			defer alive.RUnlock()
			issued, err := nodes[i%2].Issue(ctx, life)
			if err != nil {
				return err
			}
			next, err := nodes[(i+1)%2].Rotate(ctx, issued, life)
			if err != nil {
				return err
			}
			return nodes[i%2].Consume(ctx, next, life)
		}
		keys := func(keys ...dpopnonce.Key) error {
			for _, s := range sealers {
				if err := s.SetKeys(keys...); err != nil {
					return err
				}
			}
			return nil
		}
		const workers = 4
		wantAll(t, race(workers+1, func(i int) error {
			for i < workers && !stop.Load() {
				if err := rotate(i); err != nil {
					return err
				}
			}
			if i < workers {
				return nil
			}
			defer stop.Store(true)
			for round := 0; round < 8; round++ {
				added := dpopnonce.NewKey()
				for _, step := range [][]dpopnonce.Key{{key, added}, {added, key}} {
					if err := keys(step...); err != nil {
						return err
					}
				}
				expire() // all nonces from before
				if err := keys(added); err != nil {
					return err
				}
				key = added
				if err := rotate(round); err != nil {
					return err
				}
			}
			return nil
		}), nil)
	}
}

func sealedReplaced(t *testing.T, e *env) {
	s := newSealer(t, purpose, suiteKey)
	r := e.repository(t, e.db, dpopnonce.WithSealer(s))
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	var next string
	watch(t, e.db, func(*gorm.DB) { wantIs(t, s.SetKeys(dpopnonce.NewKey()), nil) })
	wantIs(t, r.Consume(ctx, nonce, life), nil) // it was opened before
	next, err = r.Rotate(ctx, nonce, life)
	wantIs(t, err, dpopnonce.ErrUnknown)
	wantIs(t, r.Consume(ctx, next, life), nil)
}

func sealedFailedSetKeys(t *testing.T, e *env) {
	s := newSealer(t, purpose, suiteKey)
	r := e.repository(t, e.db, dpopnonce.WithSealer(s))
	before, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	other := dpopnonce.NewKey()
	for i, keys := range [][]dpopnonce.Key{nil, {}, {{}}, {other, {}}, {other, other}, {other, suiteKey, other}} {
		if err := s.SetKeys(keys...); err == nil {
			t.Fatal(fmt.Sprint("keys ", i, " were set"))
		}
	}
	after, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	for _, nonce := range []string{before, after} {
		wantIs(t, e.sealed(t).Consume(ctx, nonce, life), nil)
	}
}

func sealedOptions(t *testing.T, e *env) {
	s := newSealer(t, purpose, suiteKey)
	for name, opts := range map[string][]dpopnonce.Option{
		"nil sealer":     {dpopnonce.WithSealer(nil)},
		"nil opener":     {dpopnonce.WithOpener(nil)},
		"zero sealer":    {dpopnonce.WithSealer(&dpopnonce.Sealer{})},
		"both":           {dpopnonce.WithSealer(s), dpopnonce.WithOpener(s)},
		"both, reversed": {dpopnonce.WithOpener(s), dpopnonce.WithSealer(s)},
	} {
		if r, err := dpopnonce.NewRepository(e.db, append(e.opts[:len(e.opts):len(e.opts)], opts...)...); err == nil || r != nil {
			t.Errorf("%s: no error", name)
		}
	}
}
