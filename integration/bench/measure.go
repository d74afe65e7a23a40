package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var operations = []string{"issue", "consume", "check", "rotate", "spend"}

// A cell is one operation of one store with a number of callers.
type cell struct {
	store, operation string
	callers          int
}

// A sample is the result of one round in a cell.
type sample struct {
	calls        float64
	elapsed, cpu time.Duration // cpu is of this process
	objects      float64       // that it allocated
	bytes        float64
	latencies    []time.Duration
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
		case "spend":
			return func() error {
				proof, err := newText()
				if err != nil {
					return err
				}
				return s.spend(ctx, proof)
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
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, used := time.Now(), cpuTime()
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
	result := sample{elapsed: time.Since(start), cpu: cpuTime() - used}
	runtime.ReadMemStats(&after)
	result.objects, result.bytes = float64(after.Mallocs-before.Mallocs), float64(after.TotalAlloc-before.TotalAlloc)
	if err := errors.Join(errs...); err != nil {
		return sample{}, fmt.Errorf("%s, %s, %d callers: %w", s.name, operation, callers, err)
	}
	for _, l := range latencies {
		result.calls += float64(len(l))
		result.latencies = append(result.latencies, l...)
	}
	return result, nil
}

// cpuTime returns the processor time that this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var errSpent = errors.New("no rows are left")
