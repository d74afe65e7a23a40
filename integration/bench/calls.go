package main

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// A fact is a figure other than a rate.
type fact struct{ name, value string }

// tripFacts measures the round trips of one caller's calls.
func tripFacts(ctx context.Context, stores []store, trips *atomic.Int64) (all []fact, err error) {
	plain, sealed := named(stores, plain), named(stores, sealed)
	var nonces []string // for Consume
	for range prepares + measures {
		nonce, err := plain.issue(ctx)
		if err != nil {
			return nil, err
		}
		nonces = append(nonces, nonce)
	}
	stored, err := plain.issue(ctx)
	if err != nil {
		return nil, err
	}
	own, err := sealed.issue(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"Issue", func() error { _, err := plain.issue(ctx); return err }},
		{"Issue, sealed", func() error { _, err := sealed.issue(ctx); return err }},
		{"Check", func() error { return plain.check(ctx, stored) }},
		{"Consume", func() error {
			err := plain.consume(ctx, nonces[0])
			nonces = nonces[1:]
			return err
		}},
		{"Rotate", func() (err error) { stored, err = plain.rotate(ctx, stored); return err }},
		{"Rotate, sealed", func() (err error) { own, err = sealed.rotate(ctx, own); return err }},
		{"Spend", func() error {
			proof, err := newText()
			if err != nil {
				return err
			}
			return plain.spend(ctx, proof)
		}},
	} {
		n, err := perCall(trips, c.call)
		if err != nil {
			return nil, err
		}
		all = append(all, fact{"round trips per " + c.name, fmt.Sprintf("%.2f", n)})
	}
	return all, nil
}

const prepares, measures = 50, 1000

// perCall returns the round trips of one call.
func perCall(trips *atomic.Int64, call func() error) (float64, error) {
	var start int64
	for i := range prepares + measures {
		if i == prepares { // the statements and the pool are ready
			start = trips.Load()
		}
		if err := call(); err != nil {
			return 0, err
		}
	}
	return float64(trips.Load()-start) / measures, nil
}

// sealedIssue measures an Issue that sends no statement: the median of 11 runs.
func sealedIssue(ctx context.Context, stores []store) (fact, error) {
	const calls = 10_000
	var runs []time.Duration
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 11 {
		start := time.Now()
		for range calls {
			if _, err := named(stores, sealed).issue(ctx); err != nil {
				return fact{}, err
			}
		}
		runs = append(runs, time.Since(start)/calls)
	}
	runtime.ReadMemStats(&after)
	return fact{"one Issue, sealed, which sends no statement: time and allocations",
		fmt.Sprintf("%v, %d", percentile(runs, 0.5), (after.Mallocs-before.Mallocs)/(11*calls))}, nil
}
