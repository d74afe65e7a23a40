package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

const (
	ttl     = time.Minute
	patient = 5 * time.Second // a call that takes longer hangs
)

// A trial makes every call on a pool that has a setting, beside a pool that has
// the defaults, on one table.
type trial struct {
	ctx    context.Context
	clock  clock
	db     *gorm.DB              // has the setting
	r      *dpopnonce.Repository // on db
	other  *dpopnonce.Repository // on the other pool
	sealed bool                  // r issues sealed nonces
	spent  []string              // what was accepted since the last sweep

	mu    sync.Mutex
	label string // what comes before each step
	hung  bool   // a call
	lost  bool   // nothing can be told any more
	outcome
}

// An outcome is what a trial met: wrong is a false verdict or no answer, failed
// an error that says that something does not work.
type outcome struct{ wrong, failed []string }

// A clock is moved by hand.
type clock struct {
	sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.Lock()
	defer c.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.now = c.now.Add(d)
}

// The ways in which a repository issues and accepts.
var ways = []struct {
	label         string
	group, sealed bool
}{
	{"", false, false},
	{"group commit: ", true, false},
	{"sealed: ", false, true},
	{"sealed, group commit: ", true, true},
}

// try tries a setting on a new table, which it drops.
func (s setting) try(ctx context.Context, table string) (outcome, error) {
	first, err := s.open()
	if err != nil {
		return outcome{}, err
	}
	closePool(first)
	plain, err := s.other()
	if err != nil {
		return outcome{}, err
	}
	defer closePool(plain)
	defer plain.Exec("DROP TABLE IF EXISTS " + table)
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "settings", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return outcome{}, err
	}
	t := &trial{ctx: ctx, clock: clock{now: time.Now()}}
	opts := []dpopnonce.Option{dpopnonce.WithTable(table), dpopnonce.WithClock(t.clock.Now)}
	if t.other, err = dpopnonce.NewRepository(plain, append(opts, dpopnonce.WithOpener(sealer))...); err != nil {
		return outcome{}, err
	}
	for i, way := range ways {
		t.label, t.sealed = way.label, way.sealed
		with := opts
		if way.group {
			with = append(with, dpopnonce.WithGroupCommit())
		}
		if way.sealed {
			with = append(with, dpopnonce.WithSealer(sealer))
		} else {
			with = append(with, dpopnonce.WithOpener(sealer))
		}
		for _, steps := range []func(){
			func() {
				if i == 0 {
					t.migrate(plain, s.altered, table)
				}
				t.alone()
				t.transactions()
				t.together()
			},
			t.afterwards,
		} {
			if err := t.on(s.open, with, steps); err != nil {
				return t.outcome, err
			}
		}
	}
	return t.outcome, nil
}

// on runs steps on a new pool, which it closes.
func (t *trial) on(open func() (*gorm.DB, error), opts []dpopnonce.Option, steps func()) (err error) {
	if t.db, err = open(); err != nil {
		return err
	}
	defer closePool(t.db)
	if t.r, err = dpopnonce.NewRepository(t.db, opts...); err != nil {
		return err
	}
	steps()
	return nil
}

func (t *trial) migrate(plain *gorm.DB, altered []string, table string) {
	t.expect("Migrate", t.do(t.r.Migrate), nil)
	t.needs("Migrate", t.do(t.other.Migrate))
	for _, ddl := range altered {
		t.needs(ddl, plain.Exec(strings.ReplaceAll(ddl, "{table}", table)).Error)
	}
}

// do gives a call its deadline, a short one after a call that hung.
func (t *trial) do(call func(context.Context) error) error {
	wait := patient
	t.mu.Lock()
	if t.hung {
		wait /= 10
	}
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.ctx, wait)
	defer cancel()
	err := call(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		t.mu.Lock()
		t.hung = true
		t.mu.Unlock()
	}
	return err
}

// expect compares the outcome of a step.
func (t *trial) expect(step string, got, want error) bool {
	answer := got == nil || errors.Is(got, dpopnonce.ErrRejected) || errors.Is(got, dpopnonce.ErrDuplicate) || errors.Is(got, dpopnonce.ErrReplayed)
	switch {
	case want == nil && got == nil, want != nil && errors.Is(got, want):
		return true
	case answer, errors.Is(got, context.DeadlineExceeded):
		t.wrongly(fmt.Sprintf("%s, want %s", step, short(want)), got)
	default:
		t.note(&t.failed, step+": "+short(got))
	}
	return false
}

// needs ends a trial where the other pool fails as well.
func (t *trial) needs(step string, err error) {
	if err != nil {
		t.note(&t.failed, step+" of both pools: "+short(err))
		t.mu.Lock()
		t.lost = true
		t.mu.Unlock()
	}
}

func (t *trial) wrongly(step string, got error) { t.note(&t.wrong, step+": "+short(got)) }

func (t *trial) note(to *[]string, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text = t.label + text; !t.lost && !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
}

func short(err error) string {
	if err == nil {
		return "nil"
	}
	return strings.TrimPrefix(err.Error(), "dpopnonce: ")
}
