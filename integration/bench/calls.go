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

// callFacts measures the round trips and allocations of one caller's calls; trips
// is nil where there is no network.
func callFacts(ctx context.Context, stores []store, trips *atomic.Int64) (all []fact, err error) {
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
	unit := "allocations"
	if trips != nil {
		unit = "round trips and " + unit
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
			proof, err := newText() // three allocations, at most
			if err != nil {
				return err
			}
			return plain.spend(ctx, proof)
		}},
	} {
		n, allocations, err := perCall(trips, c.call)
		if err != nil {
			return nil, err
		}
		value := fmt.Sprintf("%.0f", allocations)
		if trips != nil {
			value = fmt.Sprintf("%.2f, %s", n, value)
		}
		all = append(all, fact{unit + " per " + c.name, value})
	}
	return all, nil
}

const prepares, measures = 50, 1000

// perCall returns the round trips and allocations of one call.
func perCall(trips *atomic.Int64, call func() error) (n, allocations float64, err error) {
	for range prepares { // the statements, and the pool
		if err := call(); err != nil {
			return 0, 0, err
		}
	}
	if trips == nil {
		trips = &atomic.Int64{}
	}
	var before, after runtime.MemStats
	start := trips.Load()
	runtime.ReadMemStats(&before)
	for range measures {
		if err := call(); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(trips.Load()-start) / measures, float64(after.Mallocs-before.Mallocs) / measures, nil
}

// sealedIssue measures an Issue that sends no statement: the median of 11 runs.
func sealedIssue(ctx context.Context, stores []store) (fact, error) {
	const calls = 10_000
	var runs []time.Duration
	for range 11 {
		start := time.Now()
		for range calls {
			if _, err := named(stores, sealed).issue(ctx); err != nil {
				return fact{}, err
			}
		}
		runs = append(runs, time.Since(start)/calls)
	}
	return fact{"one Issue, sealed, which sends no statement", percentile(runs, 0.5).String()}, nil
}
