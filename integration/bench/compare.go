package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// A comparison is the stores that are measured on one database.
type comparison struct {
	database string
	picture  string // the name of its file
	stores   []store
	callers  []int

	// clear leaves the table with 50,000 live nonces and new statistics.
	clear func(context.Context) error

	// add stores n nonces, from prefix and a number each, and returns them.
	add func(ctx context.Context, prefix string, n int) ([]string, error)
}

// turns is how often the stores take turns within a round. A drift of the
// machine then affects all of them.
const turns = 4

// run measures every cell in every round.
func (c comparison) run(ctx context.Context, measured []string, rounds int, length time.Duration) (map[cell][]sample, error) {
	samples := map[cell][]sample{}
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.database, round+1, rounds)
		if err := c.clear(ctx); err != nil {
			return nil, err
		}
		live, err := c.add(ctx, "check", checked)
		if err != nil {
			return nil, err
		}
		for _, operation := range measured {
			stores := c.measuring(operation)
			for _, callers := range c.callers {
				for i := range turns * len(stores) {
					turn := i / len(stores)
					s := stores[(i+turn+round)%len(stores)] // each store is first at some turn
					if s.outside != nil && turn > 0 {
						continue
					}
					got, err := c.slice(ctx, s, operation, callers, length/turns, live)
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

// checked is how many nonces the callers of check have.
const checked = 20_000

func (c comparison) slice(ctx context.Context, s store, operation string, callers int, length time.Duration, live []string) (sample, error) {
	if s.outside != nil {
		return s.outside(ctx, operation, callers)
	}
	rows := live
	if operation == "consume" {
		var err error
		if rows, err = c.add(ctx, newPrefix(), int(length.Seconds()*float64(8000+500*min(callers, 120)))); err != nil {
			return sample{}, err
		}
	}
	return run(ctx, s, operation, callers, length, rows)
}

// measuring returns the stores for which an operation is measured.
func (c comparison) measuring(operation string) (stores []store) {
	for _, s := range c.stores {
		if s.measures(operation) {
			stores = append(stores, s)
		}
	}
	return stores
}

var prefixes int

// newPrefix returns a prefix that no nonce has yet.
func newPrefix() string {
	prefixes++
	return strconv.Itoa(prefixes)
}

// text is what add stores for number i: SQL makes the same of it.
func text(prefix string, i int) string {
	return fmt.Sprintf("%s-%08d-xxxxxxxxxxxxxxxxxxxxxxxxxx", prefix, i)
}

// texts are those of the numbers 1 to n.
func texts(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = text(prefix, i+1)
	}
	return all
}

func (s *sample) add(other sample) {
	s.calls += other.calls
	s.elapsed += other.elapsed
	s.cpu += other.cpu
	s.objects += other.objects
	s.bytes += other.bytes
	s.latencies = append(s.latencies, other.latencies...)
}
