package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A comparison measures stores on one database.
type comparison struct {
	database string
	stores   []store
	callers  []int
	begin    func(context.Context) error // runs before each round

	// rows returns the nonces for one slice of an operation.
	rows func(ctx context.Context, operation string, callers int, length time.Duration) ([]string, error)
}

// slices is how often the stores take turns within a round. A drift of the
// machine then affects all of them.
const slices = 4

// run measures every cell in every round.
func (c comparison) run(ctx context.Context, rounds int, length time.Duration) (map[cell][]sample, error) {
	samples := map[cell][]sample{}
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.database, round+1, rounds)
		if err := c.begin(ctx); err != nil {
			return nil, err
		}
		for _, operation := range operations {
			for _, callers := range c.callers {
				for i := range slices * len(c.stores) {
					turn := i / len(c.stores)
					s := c.stores[(i+turn+round)%len(c.stores)] // each store is first at some turn
					if s.outside != nil && turn > 0 {
						continue
					}
					got, err := c.slice(ctx, s, operation, callers, length/slices)
					if err != nil {
						return nil, err
					}
					at := cell{s.name, operation, callers}
					if len(samples[at]) == round {
						samples[at] = append(samples[at], sample{})
					}
					samples[at][round].add(got)
				}
			}
		}
	}
	return samples, nil
}

func (c comparison) slice(ctx context.Context, s store, operation string, callers int, length time.Duration) (sample, error) {
	if s.outside != nil {
		return s.outside(ctx, operation, callers)
	}
	rows, err := c.rows(ctx, operation, callers, length)
	if err != nil {
		return sample{}, err
	}
	return run(ctx, s, operation, callers, length, rows)
}

func (s *sample) add(other sample) {
	s.calls += other.calls
	s.elapsed += other.elapsed
	s.latencies = append(s.latencies, other.latencies...)
}
