// Command bench compares the store with the same statements written by hand, in
// interleaved rounds of one run: absolute figures drift, ratios hold. It prints a
// report in markdown. A full run also writes the report to RESULTS.md and draws a
// chart, both in the directory of -out.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
)

// sweepSQL is the statement whose plan the report shows.
var sweepSQL = strings.ReplaceAll(dialects.Postgres().SQL().Sweep, "{table}", table)

// A scale is the size of a run.
type scale struct {
	rounds                int
	length                time.Duration
	issued, expired, live int
}

func main() {
	short := flag.Bool("short", false, "finish in two minutes and write no file")
	out := flag.String("out", "bench", "directory of RESULTS.md and the chart")
	flag.Parse()
	size := scale{rounds: 7, length: 400 * time.Millisecond, issued: 300_000, expired: 1_000_000, live: 200_000}
	if *short {
		size = scale{rounds: 2, length: 100 * time.Millisecond, issued: 30_000, expired: 50_000, live: 20_000}
		*out = ""
	}
	if err := bench(context.Background(), size, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, size scale, out string) error {
	dsn := os.Getenv("POSTGRES_DSN")
	if dsn == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench")
	}
	s, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	sync, err := syncCost()
	if err != nil {
		return err
	}
	var version string
	if err := s.admin.QueryRow(ctx, "SELECT 'PostgreSQL ' || current_setting('server_version')").Scan(&version); err != nil {
		return err
	}
	var text bytes.Buffer
	r := report{&text}
	r.head(version, size.rounds, size.length, sync)

	samples, err := s.compare(ctx, size.rounds, size.length)
	if err != nil {
		return err
	}
	all := summarize(samples, s.stores[0].name)
	r.table("PostgreSQL", all, s.stores, callerCount)
	r.sharing(samples, "dpopnonce, group commit", "dpopnonce")
	facts, err := s.facts(ctx, dsn, size.issued)
	if err != nil {
		return err
	}
	r.facts(facts)
	onSQLite, stores, err := compareSQLite(ctx, size.rounds, size.length)
	if err != nil {
		return err
	}
	r.table("SQLite, WAL, synchronous FULL", summarize(onSQLite, stores[0].name), stores, sqliteCallers)
	swept, err := s.sweepUnderLoad(ctx, dsn, size.expired, size.live)
	if err != nil {
		return err
	}
	r.sweep(swept)

	fmt.Print(text.String())
	if out == "" {
		return nil
	}
	if err := os.WriteFile(filepath.Join(out, "RESULTS.md"), text.Bytes(), 0o644); err != nil {
		return err
	}
	return chart(filepath.Join(out, "ratios.svg"), all, s.stores)
}
