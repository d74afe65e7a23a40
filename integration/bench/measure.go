package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

var (
	operations    = []string{"issue", "consume", "check", "rotate"}
	callerCount   = []int{1, 8, 32, 128}
	sqliteCallers = []int{1, 8, 32}
)

// A cell is one operation of one store with a number of callers.
type cell struct {
	store, operation string
	callers          int
}

// A sample is the result of one round in a cell.
type sample struct {
	calls     float64
	elapsed   time.Duration
	latencies []time.Duration
}

func (s sample) perSecond() float64 { return s.calls / s.elapsed.Seconds() }

// run lets concurrent callers repeat an operation for a time. Consume spends each
// of rows once and ends earlier if none is left.
func run(ctx context.Context, s store, operation string, callers int, length time.Duration, rows []string) (sample, error) {
	var next atomic.Int64
	step := func(id int) (func() error, error) {
		switch operation {
		case "issue":
			return func() error { _, err := s.issue(ctx); return err }, nil
		case "consume":
			return func() error {
				n := next.Add(1) - 1
				if n >= int64(len(rows)) {
					return errSpent
				}
				return s.consume(ctx, rows[n])
			}, nil
		case "check":
			n := id
			return func() error {
				n += 131
				return s.check(ctx, rows[n%len(rows)])
			}, nil
		default:
			nonce, err := s.issue(ctx)
			return func() (err error) { nonce, err = s.rotate(ctx, nonce); return err }, err
		}
	}
	steps := make([]func() error, callers)
	for i := range steps {
		var err error
		if steps[i], err = step(i); err != nil {
			return sample{}, err
		}
	}
	latencies := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wait sync.WaitGroup
	start := time.Now()
	end := start.Add(length)
	for i, step := range steps {
		wait.Go(func() {
			for {
				began := time.Now()
				if began.After(end) {
					return
				}
				if err := step(); err != nil {
					if !errors.Is(err, errSpent) {
						errs[i] = err
					}
					return
				}
				latencies[i] = append(latencies[i], time.Since(began))
			}
		})
	}
	wait.Wait()
	elapsed := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return sample{}, fmt.Errorf("%s, %s, %d callers: %w", s.name, operation, callers, err)
	}
	result := sample{elapsed: elapsed}
	for _, l := range latencies {
		result.calls += float64(len(l))
		result.latencies = append(result.latencies, l...)
	}
	return result, nil
}

var errSpent = errors.New("no nonces are left")

// figures summarize all rounds of a cell.
type figures struct {
	perSecond, low, high float64 // median, minimum and maximum
	p50, p99             time.Duration
	ratio                float64 // to the baseline: median of the rounds' ratios
}

func summarize(samples map[cell][]sample, baseline string) map[cell]figures {
	all := map[cell]figures{}
	for c, rounds := range samples {
		var rates, ratios []float64
		var latencies []time.Duration
		base := samples[cell{baseline, c.operation, c.callers}]
		for i, s := range rounds {
			rates = append(rates, s.perSecond())
			ratios = append(ratios, s.perSecond()/base[i].perSecond())
			latencies = append(latencies, s.latencies...)
		}
		sort.Float64s(rates)
		sort.Float64s(ratios)
		all[c] = figures{perSecond: median(rates), low: rates[0], high: rates[len(rates)-1],
			p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99), ratio: median(ratios)}
	}
	return all
}

// against returns the median of the rounds' ratios of one store to another.
func against(samples map[cell][]sample, one, other string, operation string, callers int) float64 {
	var ratios []float64
	base := samples[cell{other, operation, callers}]
	for i, s := range samples[cell{one, operation, callers}] {
		ratios = append(ratios, s.perSecond()/base[i].perSecond())
	}
	sort.Float64s(ratios)
	return median(ratios)
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func percentile(latencies []time.Duration, p float64) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	return latencies[int(p*float64(len(latencies)-1))]
}
