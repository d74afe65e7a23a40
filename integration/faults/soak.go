package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/history"
	"github.com/attesto/dpopnonce/integration/faults/load"
	"github.com/attesto/dpopnonce/integration/faults/servers"
)

// soak lets three processes issue, accept and sweep for five minutes, with autovacuum
// on. Their clocks are fast, so that the rows of sealed nonces and proofs, which stay
// for Tolerance, go as well.
func soak(ctx context.Context, e *env) error {
	p, err := servers.NewPostgres(e.dir, "autovacuum_naptime = 10s")
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	defer p.Stop()
	configs, epoch := workers(3, 8, "postgres", p.DSN()), time.Now()
	for i := range configs {
		configs[i].Sweep = 5 * time.Second
		configs[i].Speed, configs[i].Epoch = 30, epoch
	}
	if err := migrate(ctx, configs[0]); err != nil {
		return err
	}
	l, err := load.Start(configs...)
	if err != nil {
		return err
	}
	period, periods := 30*time.Second, 10
	if e.short {
		period, periods = 3*time.Second, 4
	}
	var samples []sample
	for range periods {
		select {
		case <-ctx.Done():
		case <-time.After(period):
		}
		s, err := measure(ctx, p)
		if err != nil {
			_, stopped := l.Stop()
			return fmt.Errorf("%w, %w", err, stopped)
		}
		samples = append(samples, s)
	}
	h, err := l.Stop()
	if err != nil {
		return err
	}
	if _, err := e.judge("dpopnonce", h, false); err != nil {
		return err
	}
	e.printf("\n| after | calls/s | p99 | rows | dead rows | table | indexes |\n|---:|---:|---:|---:|---:|---:|---:|\n")
	from := samples[0].at - history.Instant(period)
	for i := range samples {
		s := &samples[i]
		var latencies []time.Duration
		for _, op := range h.Ops {
			if op.End > from && op.End <= s.at {
				latencies = append(latencies, time.Duration(op.End-op.Start))
			}
		}
		if len(latencies) == 0 {
			return fmt.Errorf("no answer in the %v before %v", period, time.Duration(i+1)*period)
		}
		slices.Sort(latencies)
		s.p99 = latencies[len(latencies)*99/100]
		e.printf("| %v | %.0f | %v | %d | %d | %.1f MiB | %.1f MiB |\n", time.Duration(i+1)*period,
			float64(len(latencies))/time.Duration(s.at-from).Seconds(), s.p99.Round(100*time.Microsecond),
			s.rows, s.dead, float64(s.table)/(1<<20), float64(s.indexes)/(1<<20))
		from = s.at
	}
	e.printf("\nThree processes with 8 callers each, a sweep every 5 s in each process, autovacuum on with a naptime of 10 s. Clocks run 30 times as fast as time: nonces and proofs live for 5 min, which are 10 s, and the row of an accepted sealed nonce or proof stays for up to 20 s.\n")
	if e.short {
		return nil
	}
	return flat(samples)
}

// flat returns an error if a figure of the second half of the samples is more than
// 1.5 times that of the first half.
func flat(samples []sample) error {
	for name, of := range map[string]func(sample) int64{
		"p99":         func(s sample) int64 { return int64(s.p99) },
		"rows":        func(s sample) int64 { return s.rows },
		"dead rows":   func(s sample) int64 { return s.dead },
		"the table":   func(s sample) int64 { return s.table },
		"its indexes": func(s sample) int64 { return s.indexes },
	} {
		half := len(samples) / 2
		if before, after := median(samples[:half], of), median(samples[half:], of); after > before*3/2 {
			return fmt.Errorf("%s grew from %d in the first half to %d in the second", name, before, after)
		}
	}
	return nil
}

func median(samples []sample, of func(sample) int64) int64 {
	var all []int64
	for _, s := range samples {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// A sample is the state of the table at an instant.
type sample struct {
	at                         history.Instant
	rows, dead, table, indexes int64
	p99                        time.Duration
}

func measure(ctx context.Context, p *servers.Postgres) (s sample, err error) {
	s.at = history.Now()
	err = p.Query(ctx, `SELECT (SELECT count(*) FROM dpop_nonces), n_dead_tup, pg_table_size(relid), pg_indexes_size(relid)
		FROM pg_stat_user_tables WHERE relname = 'dpop_nonces'`, &s.rows, &s.dead, &s.table, &s.indexes)
	return s, err
}
