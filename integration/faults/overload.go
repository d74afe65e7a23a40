package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

const (
	deadline = 200 * time.Millisecond
	slack    = 300 * time.Millisecond // for a machine with other load
)

// overload lets 1000 callers compete for 10 connections, each call with a deadline
// of 200 ms. A third of them rotate stored nonces, a third sealed ones, and a third
// spend proofs.
func overload(ctx context.Context, e *env) error {
	p, err := servers.StartPostgres(e.dir)
	if err != nil {
		return err
	}
	defer p.Stop()
	e.printf("| store | calls | answered | timed out | p99 | longest | goroutines, first and last third | heap, the same | the next call after it |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, group := range []bool{false, true} {
		config := load.Config{Driver: "postgres", DSN: p.DSN(), Callers: 10, GroupCommit: group}
		if err := migrate(ctx, config); err != nil {
			return err
		}
		if err := e.overload(ctx, config); err != nil {
			return err
		}
	}
	e.printf("\n1000 callers on a pool of 10 connections, each call with a deadline of %v: a third rotate stored nonces, a third sealed ones, and a third spend proofs.\n", deadline)
	return nil
}

func (e *env) overload(ctx context.Context, config load.Config) error {
	r, db, err := config.Repository()
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	defer pool.Close()
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "https://as.example/token", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return err
	}
	sealed, err := dpopnonce.NewRepository(db, append(config.Options(), dpopnonce.WithSealer(sealer))...)
	if err != nil {
		return err
	}
	length := time.Duration(e.scaled(60, 5)) * time.Second
	before := runtime.NumGoroutine()
	var answered, timedOut atomic.Int64
	var took latencies
	var failure atomic.Pointer[error]
	var callers sync.WaitGroup
	end := time.Now().Add(length)
	for i := range 1000 {
		callers.Go(func() {
			nonce := ""
			call := func(ctx context.Context) (string, error) { return r.Rotate(ctx, nonce, time.Minute) }
			switch i % 3 {
			case 1:
				call = func(ctx context.Context) (string, error) { return sealed.Rotate(ctx, nonce, time.Minute) }
			case 2:
				call = func(ctx context.Context) (string, error) {
					return "", r.Spend(ctx, rand.Text(), time.Now().Add(time.Minute))
				}
			}
			for time.Now().Before(end) {
				bounded, cancel := context.WithTimeout(ctx, deadline)
				start := time.Now()
				next, err := call(bounded)
				took.add(time.Since(start))
				cancel()
				switch {
				case err == nil || errors.Is(err, dpopnonce.ErrRejected):
					answered.Add(1)
					nonce = next
				case errors.Is(err, context.DeadlineExceeded):
					timedOut.Add(1)
				default:
					failure.Store(&err)
				}
			}
		})
	}
	goroutines, heap := watch(end)
	callers.Wait()
	start := time.Now()
	_, err = r.Issue(ctx, time.Minute)
	recovery := time.Since(start)
	if err != nil {
		return err
	}
	name := "plain"
	if config.GroupCommit {
		name = "group commit"
	}
	e.printf("| %s | %d | %d | %d | %v | %v | %d, %d | %.1f, %.1f MiB | %v |\n", name, answered.Load()+timedOut.Load(), answered.Load(), timedOut.Load(),
		took.quantile(0.99), took.longest(), goroutines[0], goroutines[1], mib(heap[0]), mib(heap[1]), recovery.Round(100*time.Microsecond))
	switch {
	case failure.Load() != nil:
		return fmt.Errorf("a failure other than the deadline: %w", *failure.Load())
	case answered.Load() == 0:
		return errors.New("no call was answered")
	case e.short: // too short to judge times, and other tests may run beside it
	case took.longest() > deadline+slack:
		return fmt.Errorf("%s: a call took %v", name, took.longest())
	case goroutines[1] > goroutines[0]*3/2 || heap[1] > heap[0]*3/2+4<<20:
		return fmt.Errorf("%s: goroutines %v or heap %v grow", name, goroutines, heap)
	case recovery > deadline:
		return fmt.Errorf("%s: the next call took %v", name, recovery)
	}
	return until(ctx, func() (bool, error) { // only connections keep goroutines
		left := runtime.NumGoroutine() - before
		return left <= 2*config.Callers, fmt.Errorf("%d goroutines are left", left)
	})
}

// latencies counts calls by milliseconds, so that the memory of a run does not grow
// with the number of calls.
type latencies [1000]atomic.Int64

func (l *latencies) add(d time.Duration) { l[min(int(d/time.Millisecond), len(l)-1)].Add(1) }

// quantile rounds up to a millisecond.
func (l *latencies) quantile(q float64) time.Duration {
	var all, seen int64
	for i := range l {
		all += l[i].Load()
	}
	for i := range l {
		if seen += l[i].Load(); seen > 0 && float64(seen) >= q*float64(all) {
			return time.Duration(i+1) * time.Millisecond
		}
	}
	return 0
}

func (l *latencies) longest() time.Duration { return l.quantile(1) }

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// watch returns the maximum of goroutines and of heap bytes, each in the first and
// in the last third of the time until end.
func watch(end time.Time) (goroutines, heap [2]int) {
	length := time.Until(end)
	for {
		left := time.Until(end)
		if left <= 0 {
			return goroutines, heap
		}
		third := int(3 * (length - left) / length)
		if third != 1 {
			i := third / 2
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			goroutines[i] = max(goroutines[i], runtime.NumGoroutine())
			heap[i] = max(heap[i], int(m.HeapAlloc))
		}
		time.Sleep(length / 60)
	}
}
