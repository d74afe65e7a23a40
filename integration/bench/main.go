// Command bench measures the store against the same statements written by
// hand, in interleaved rounds of one run: absolute figures drift, ratios hold.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	short := flag.Bool("short", false, "finish in two minutes")
	flag.Parse()
	if err := bench(context.Background(), *short); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, short bool) error {
	dsn := os.Getenv("POSTGRES_DSN")
	if dsn == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench")
	}
	rounds, length := 7, 400*time.Millisecond
	if short {
		rounds, length = 3, 120*time.Millisecond
	}
	s, err := openPostgres(ctx, dsn)
	if err != nil {
		return err
	}
	samples, err := s.compare(ctx, rounds, length)
	if err != nil {
		return err
	}
	all := summarize(samples, s.stores[0].name)
	for _, operation := range operations {
		for _, callers := range callerCount {
			for _, store := range s.stores {
				f := all[cell{store.name, operation, callers}]
				fmt.Printf("%-8s %4d %-26s %8.0f/s [%6.0f %6.0f] p50 %8v p99 %8v ratio %.2f\n", operation, callers, store.name,
					f.perSecond, f.low, f.high, f.p50.Round(time.Microsecond), f.p99.Round(time.Microsecond), f.ratio)
			}
		}
	}
	return nil
}
