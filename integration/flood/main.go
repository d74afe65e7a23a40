// Command flood sends a token endpoint proofs that have to be challenged, beside
// an honest client, under each policy of dpophttp. It prints a table: what a
// challenge costs the database, and whether the honest client is served.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "`number` of measurements of each kind")
	length := flag.Duration("length", 300*time.Millisecond, "of each `measurement`")
	only := flag.String("only", "", "measure this `database` alone: sqlite or postgresql")
	flag.Parse()
	if err := run(context.Background(), *only, *rounds, *length); err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, rounds int, length time.Duration) error {
	dir, err := os.MkdirTemp("", "flood-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, d := range []struct {
		name string
		open func() (*database, error)
	}{
		{"SQLite", func() (*database, error) { return openSQLite(filepath.Join(dir, "nonces.db")) }},
		{"PostgreSQL", func() (*database, error) {
			if os.Getenv("POSTGRES_DSN") == "" {
				return nil, errors.New("POSTGRES_DSN is not set: run make flood")
			}
			return openPostgres(os.Getenv("POSTGRES_DSN"))
		}},
	} {
		if only != "" && only != strings.ToLower(d.name) {
			continue
		}
		db, err := d.open()
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		err = report(ctx, d.name, db, rounds, length)
		db.close()
		if err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// A cell is a policy under a flood.
type cell struct {
	policy policy
	flood  flood
	cost   cost
	loads  []load
}

// report measures in rounds, because other work on the machine comes and goes,
// and prints two tables of one database.
func report(ctx context.Context, name string, db *database, rounds int, length time.Duration) error {
	table := make([][]*cell, len(floods)) // a row for each flood
	for i, f := range floods {
		for _, p := range policies {
			table[i] = append(table[i], &cell{policy: p, flood: f})
		}
	}
	var honest load
	for range rounds {
		for _, c := range slices.Concat(table...) {
			l, err := c.measure(ctx, db, length)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.policy.name, c.flood.name, err)
			}
			honest.sent += l.sent
			honest.served += l.served
			honest.failures += l.failures
		}
	}
	fmt.Printf("\n%s: rows and statements for each refused request\n\n", name)
	printTable(table, func(c *cell) string { return fmt.Sprintf("%.3g, %.3g", c.cost.rows, c.cost.statements) })
	fmt.Printf("\n%s: requests per second of %d connections that flood, and of the honest client; medians of %d rounds of %v\n\n",
		name, flooders, rounds, length)
	printTable(table, func(c *cell) string {
		return fmt.Sprintf("%.0f, %.0f", c.median(func(l load) int { return l.refused }), c.median(func(l load) int { return l.served }))
	})
	fmt.Printf("\nThe honest client sent %.3f requests for each that was served (%d), and failed %d times.\n",
		float64(honest.sent)/float64(honest.served), honest.served, honest.failures)
	return nil
}

func printTable(table [][]*cell, text func(*cell) string) {
	fmt.Print("| flood |")
	for _, p := range policies {
		fmt.Printf(" %s |", p.name)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---:|", len(policies)))
	for i, cells := range table {
		fmt.Printf("| %s |", floods[i].name)
		for _, c := range cells {
			fmt.Printf(" %s |", text(c))
		}
		fmt.Println()
	}
}

func (c *cell) measure(ctx context.Context, db *database, length time.Duration) (l load, err error) {
	s, err := start(ctx, db, c.policy)
	if err != nil {
		return l, err
	}
	defer s.Close()
	proofs, err := c.flood.proofs(s.url)
	if err != nil {
		return l, err
	}
	if c.cost, err = s.cost(ctx, proofs); err != nil {
		return l, err
	}
	l, err = s.load(ctx, proofs, length)
	c.loads = append(c.loads, l)
	return l, err
}

// median returns the median rate of something that the loads count.
func (c *cell) median(count func(load) int) float64 {
	rates := make([]float64, len(c.loads))
	for i, l := range c.loads {
		rates[i] = float64(count(l)) / l.elapsed.Seconds()
	}
	slices.Sort(rates)
	return rates[len(rates)/2]
}
