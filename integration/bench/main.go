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
	pgbench               bool
}

// A task is what to measure.
type task struct {
	scale
	only       string   // a database, or all if it is empty
	operations []string // to compare
	whole      bool     // all of them, and what is no comparison
	out        string   // directory, or "" for none
}

func main() {
	short := flag.Bool("short", false, "finish in two minutes")
	only := flag.String("only", "", "measure this `database` alone: postgres, mariadb or sqlite")
	chosen := flag.String("operations", "", "measure nothing but a comparison of `these`, as in rotate,spend")
	rounds := flag.Int("rounds", 0, "compare in `so many` rounds")
	out := flag.String("out", "", "write RESULTS.md and the charts to this `directory`")
	flag.Parse()

	t := task{only: *only, operations: operations, whole: *chosen == "", out: *out,
		scale: scale{rounds: 7, length: 400 * time.Millisecond, issued: 300_000, expired: 1_000_000, live: 200_000, pgbench: true}}
	if *short {
		t.scale = scale{rounds: 2, length: 100 * time.Millisecond, issued: 30_000, expired: 50_000, live: 20_000}
	}
	if *rounds > 0 {
		t.rounds = *rounds
	}
	if !t.whole {
		t.operations = strings.Split(*chosen, ",")
	}
	if err := t.check(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := t.bench(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (t task) check() error {
	for _, operation := range t.operations {
		if !slices.Contains(operations, operation) {
			return fmt.Errorf("-operations %s: want some of %s", operation, strings.Join(operations, ","))
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
	r := report{&summary, &figures}
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
	text := append(summary.Bytes(), figures.Bytes()...)
	fmt.Printf("%s", text)
	if t.out == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(t.out, "RESULTS.md"), text, 0o644)
}

// compare runs a comparison and reports it.
func (t task) compare(ctx context.Context, c comparison, r report, version string) (map[cell][]sample, error) {
	samples, err := c.run(ctx, t.operations, t.rounds, t.length)
	if err != nil {
		return nil, err
	}
	all := summarize(samples, c.stores[0].name)
	r.ratios(version, c, t.operations, all)
	r.cells(c, t.operations, all)
	if t.out == "" {
		return samples, nil
	}
	return samples, chart(filepath.Join(t.out, c.picture), c, t.operations, all)
}
