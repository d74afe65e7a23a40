// Command bench compares the store with the same statements written by hand, in
// interleaved rounds of one run: absolute figures drift, ratios hold. It prints a
// report in markdown. With -out it also writes the report to RESULTS.md and draws
// a chart for each database.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A scale is the size of a run.
type scale struct {
	rounds                int
	length                time.Duration
	issued, expired, live int
	tables                []int // sizes to grow to; other databases than PostgreSQL have the first two
	pgbench               bool
}

// A task is what to measure.
type task struct {
	scale
	only       string   // a database, or all if it is empty
	operations []string // to compare
	parts      []string // what else to measure
	out        string   // directory, or "" for none
}

func main() {
	short := flag.Bool("short", false, "finish in two minutes")
	only := flag.String("only", "", "measure this `database` alone: postgres, mariadb or sqlite")
	chosen := flag.String("operations", "", "compare nothing but `these`, as in rotate,spend; sweep and growth are measured alone by their names")
	rounds := flag.Int("rounds", 0, "compare in `so many` rounds")
	out := flag.String("out", "", "write RESULTS.md and the charts to this `directory`")
	flag.Parse()

	t := task{only: *only, operations: operations, parts: parts, out: *out,
		scale: scale{rounds: 3, length: 400 * time.Millisecond, issued: 300_000, expired: 1_000_000, live: 200_000,
			tables: []int{10_000, 1_000_000, 10_000_000}, pgbench: true}}
	if *short {
		t.scale = scale{rounds: 2, length: 100 * time.Millisecond, issued: 30_000, expired: 50_000, live: 20_000,
			tables: []int{10_000, 100_000}}
	}
	if *rounds > 0 {
		t.rounds = *rounds
	}
	if *chosen != "" {
		t.operations, t.parts = nil, nil
	}
	if err := t.choose(*chosen); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := t.bench(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parts is what a run has beside the comparison: facts are small figures.
var parts = []string{"facts", "sweep", "growth"}

func (t task) does(part string) bool { return slices.Contains(t.parts, part) }

// choose takes the names of -operations.
func (t *task) choose(names string) error {
	for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' }) {
		switch {
		case slices.Contains(operations, name):
			t.operations = append(t.operations, name)
		case slices.Contains(parts, name):
			t.parts = append(t.parts, name)
		default:
			return fmt.Errorf("-operations %s: want some of %s", name, strings.Join(append(operations, parts...), ","))
		}
	}
	if !slices.Contains([]string{"", "postgres", "mariadb", "sqlite"}, t.only) {
		return fmt.Errorf("-only %s: want postgres, mariadb or sqlite", t.only)
	}
	return nil
}

func (t task) bench(ctx context.Context) error {
	sync, err := syncCost()
	if err != nil {
		return err
	}
	var summary, figures bytes.Buffer
	var costs []cost
	var growths []*growth
	r := report{&summary, &figures, &costs, &growths}
	r.head(t, sync)
	for _, database := range []struct {
		name    string
		measure func(context.Context, report) error
	}{{"postgres", t.postgres}, {"mariadb", t.mariadb}, {"sqlite", t.sqlite}} {
		if t.only != "" && t.only != database.name {
			continue
		}
		if err := database.measure(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", database.name, err)
		}
	}
	if len(costs) > 0 {
		r.cost(costs)
	}
	if len(growths) > 0 {
		r.growth(growths)
	}
	text := append(summary.Bytes(), figures.Bytes()...)
	fmt.Printf("%s", text)
	if t.out == "" {
		return nil
	}
	if err := costChart(t.out, costs); err != nil {
		return err
	}
	if err := growthChart(t.out, growths); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.out, "RESULTS.md"), text, 0o644)
}

// compare runs a comparison and reports it.
func (t task) compare(ctx context.Context, c comparison, r report, version string) (map[cell][]sample, error) {
	if len(t.operations) == 0 {
		return nil, nil
	}
	samples, err := c.run(ctx, t.operations, t.rounds, t.length)
	if err != nil {
		return nil, err
	}
	all := summarize(samples, c.stores[0].name)
	r.ratios(version, c, t.operations, all)
	r.cells(c, t.operations, all)
	*r.costs = append(*r.costs, c.costs(t.operations, all)...)
	if t.out == "" {
		return samples, nil
	}
	return samples, chart(filepath.Join(t.out, c.picture), c, t.operations, all)
}
