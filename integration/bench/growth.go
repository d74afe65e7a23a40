package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// A growth is tables of different sizes beside each other in one database, and
// what calls do on them.
type growth struct {
	database string
	db       *gorm.DB
	sizes    []*size // the first is what the others are compared with
	callers  []int

	load  func(ctx context.Context, table string, n int, row func(i int) row) error
	empty string // statement that empties a table
	tidy  string // that updates its statistics

	// written returns the bytes of the log and of a table with its indexes, or 0
	// where they are not known.
	written func(ctx context.Context, table string) (log, disk int64, err error)

	samples map[cell][]sample
	bytes   map[cell][2]float64 // of log and disk, for one call
}

// A size is a table of so many rows.
type size struct {
	rows   int
	name   string
	table  string
	stores []store
	sweep  func(context.Context) (int64, error)
}

// A grown is an operation that is measured: of the library, plain or sealed.
type grown struct{ name, operation, store string }

var grownOperations = []grown{
	{"consume", "consume", plain}, {"rotate", "rotate", plain}, {"rotate, sealed", "rotate", sealed}, {"spend", "spend", plain},
}

// refilled is the size up to which a table is filled anew before each cell, since
// the calls would make it grow.
const refilled = 20_000

func (g *growth) run(ctx context.Context, t task, rows ...int) error {
	g.samples, g.bytes = map[cell][]sample{}, map[cell][2]float64{}
	for _, n := range rows {
		if err := g.create(ctx, n); err != nil {
			return err
		}
	}
	rounds := min(t.rounds, 5)
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "%s: growth, round %d of %d\n", g.database, round+1, rounds)
		for _, o := range grownOperations {
			for _, callers := range g.callers {
				if err := g.cell(ctx, o, callers, round, t.length); err != nil {
					return err
				}
			}
		}
	}
	if err := g.weigh(ctx, t.length); err != nil { // before a sweep, which leaves room for new rows
		return err
	}
	for round := range rounds {
		for i := range g.sizes {
			if err := g.sweep(ctx, g.sizes[(i+round)%len(g.sizes)], t.length); err != nil {
				return err
			}
		}
	}
	return nil
}

// create makes a table and fills it, and then creates its indexes.
func (g *growth) create(ctx context.Context, rows int) error {
	fmt.Fprintf(os.Stderr, "%s: filling %d rows\n", g.database, rows)
	s := &size{rows: rows, name: counted(rows), table: fmt.Sprintf("nonces_%d", rows)}
	of := dpopnonce.WithTable(s.table)
	r, err := dpopnonce.NewRepository(g.db, of)
	if err != nil {
		return err
	}
	s.sweep = r.Sweep
	for i, statement := range append([]string{"DROP TABLE IF EXISTS " + s.table}, r.Schema()...) {
		if err := g.db.WithContext(ctx).Exec(statement).Error; err != nil {
			return err
		}
		if i == 1 {
			if err := g.load(ctx, s.table, rows, filled(rows)); err != nil {
				return err
			}
		}
	}
	if s.stores, err = library(ctx, g.db, of); err != nil {
		return err
	}
	g.sizes = append(g.sizes, s)
	return g.exec(ctx, g.tidy, s)
}

func (g *growth) exec(ctx context.Context, statement string, s *size) error {
	return g.db.WithContext(ctx).Exec(strings.ReplaceAll(statement, "{table}", s.table)).Error
}

func (g *growth) refill(ctx context.Context) error {
	for _, s := range g.sizes {
		if s.rows > refilled {
			continue
		}
		if err := g.exec(ctx, g.empty, s); err != nil {
			return err
		}
		if err := g.load(ctx, s.table, s.rows, filled(s.rows)); err != nil {
			return err
		}
		if err := g.exec(ctx, g.tidy, s); err != nil {
			return err
		}
	}
	return nil
}

// cell measures an operation on all tables, which take turns.
func (g *growth) cell(ctx context.Context, o grown, callers, round int, length time.Duration) error {
	if err := g.refill(ctx); err != nil {
		return err
	}
	sums := make([]sample, len(g.sizes))
	for i := range turns * len(g.sizes) {
		n := (i + i/len(g.sizes) + round) % len(g.sizes)
		got, err := g.slice(ctx, g.sizes[n], o, callers, length/turns)
		if err != nil {
			return err
		}
		sums[n].add(got)
	}
	for i, s := range g.sizes {
		at := cell{s.name, o.name, callers}
		g.samples[at] = append(g.samples[at], sums[i])
	}
	return nil
}

func (g *growth) slice(ctx context.Context, s *size, o grown, callers int, length time.Duration) (sample, error) {
	var nonces []string
	if o.operation == "consume" {
		n := int(length.Seconds() * float64(8000+500*min(callers, 64)))
		var row func(int) row
		nonces, row = issued(n)
		if err := g.load(ctx, s.table, n, row); err != nil {
			return sample{}, err
		}
	}
	return run(ctx, named(s.stores, o.store), o.operation, callers, length, nonces)
}

// sweep measures how fast expired rows are deleted.
func (g *growth) sweep(ctx context.Context, s *size, length time.Duration) error {
	n := int(length.Seconds() * 50_000)
	if err := g.load(ctx, s.table, n, expired()); err != nil {
		return err
	}
	start, used := time.Now(), cpuTime()
	deleted, err := s.sweep(ctx)
	if err == nil && deleted < int64(n) {
		err = fmt.Errorf("swept %d rows of %d", deleted, n)
	}
	at := cell{s.name, "sweep", 1}
	g.samples[at] = append(g.samples[at], sample{calls: float64(deleted), elapsed: time.Since(start), cpu: cpuTime() - used})
	return err
}

// weigh measures what calls write.
func (g *growth) weigh(ctx context.Context, length time.Duration) error {
	if err := g.refill(ctx); err != nil {
		return err
	}
	for _, s := range g.sizes {
		for _, o := range grownOperations {
			if err := g.weighOne(ctx, s, o, 2*length); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *growth) weighOne(ctx context.Context, s *size, o grown, length time.Duration) error {
	// The nonces for Consume are stored before, and have no part in it.
	store, nonces := named(s.stores, o.store), []string(nil)
	if o.operation == "consume" {
		var row func(int) row
		nonces, row = issued(int(length.Seconds() * 20_000))
		if err := g.load(ctx, s.table, len(nonces), row); err != nil {
			return err
		}
	}
	log, disk, err := g.written(ctx, s.table)
	if err != nil {
		return err
	}
	got, err := run(ctx, store, o.operation, 8, length, nonces)
	if err != nil {
		return err
	}
	after, grownTo, err := g.written(ctx, s.table)
	g.bytes[cell{s.name, o.name, 8}] = [2]float64{float64(after-log) / got.calls, float64(grownTo-disk) / got.calls}
	return err
}
