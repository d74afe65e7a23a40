package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"github.com/jackc/pgx/v5"
)

// sweepSQL is the statement whose plan the report shows.
var sweepSQL = strings.ReplaceAll(dialects.Postgres().SQL().Sweep, "{table}", table)

// batches are the sizes that are tried, the default first; of that a sweep takes a
// quarter while it is gentle.
var batches = []int{1000, 100}

// A sweepResult is the effect of a sweep on callers that rotate.
type sweepResult struct {
	expired, live, rounds int
	length                time.Duration // of a window
	batches               []*swept
	plan                  string
}

// A swept is what windows with and without a sweep show.
type swept struct {
	batch         int
	without, with []float64 // p99 of a rotate
	ratios, calls []float64 // of p99, and of calls per second
	beside, alone []float64 // rows that a sweep deletes per second
}

// sweepUnderLoad lets 8 callers rotate, in windows without and with a sweep in
// turns, and lets each sweep go on alone for a window.
func (s *server) sweepUnderLoad(ctx context.Context, t task) (result sweepResult, err error) {
	fmt.Fprintf(os.Stderr, "PostgreSQL: sweep of %d rows\n", t.expired)
	result = sweepResult{expired: t.expired, live: t.live, rounds: t.rounds, length: t.length}
	if err := s.fillExpired(ctx, t.expired, t.live); err != nil {
		return result, err
	}
	pool, err := openPool("pgx", s.dsn)
	if err != nil {
		return result, err
	}
	defer pool.Close()
	db, err := onPostgres(pool)
	if err != nil {
		return result, err
	}
	limit := "250"
	if result.plan, err = s.plan(ctx, strings.NewReplacer("@now", "now()", "@limit", limit).Replace(sweepSQL)); err != nil {
		return result, err
	}
	for _, batch := range batches {
		result.batches = append(result.batches, &swept{batch: batch})
	}
	if _, err := s.rotates(ctx, t.length); err != nil { // warms up
		return result, err
	}
	for range t.rounds {
		for _, one := range result.batches {
			r, err := dpopnonce.NewRepository(db, dpopnonce.WithSweepBatch(one.batch))
			if err != nil {
				return result, err
			}
			if err := s.window(ctx, r, t.length, one); err != nil {
				if errors.Is(err, errSpent) && len(one.ratios) > 0 {
					err = nil // the rounds before will do
				}
				return result, err
			}
		}
	}
	return result, nil
}

// rotates is a window of 8 callers.
func (s *server) rotates(ctx context.Context, length time.Duration) (sample, error) {
	return run(ctx, named(s.stores, plain), "rotate", 8, length, nil)
}

func (s *server) window(ctx context.Context, r *dpopnonce.Repository, length time.Duration, to *swept) error {
	before, err := s.rotates(ctx, length)
	if err != nil {
		return err
	}
	var during sample
	beside, err := sweepWhile(ctx, r, func() (err error) { during, err = s.rotates(ctx, length); return err })
	if err != nil {
		return err
	}
	alone, err := sweepWhile(ctx, r, func() error { time.Sleep(length / 2); return nil })
	if err != nil {
		return err
	}
	without, with := float64(percentile(before.latencies, 0.99)), float64(percentile(during.latencies, 0.99))
	to.without, to.with, to.ratios = append(to.without, without), append(to.with, with), append(to.ratios, with/without)
	to.calls = append(to.calls, during.perSecond()/before.perSecond())
	to.beside, to.alone = append(to.beside, beside), append(to.alone, alone)
	return nil
}

// sweepWhile sweeps until do returns, and returns how many rows per second.
func sweepWhile(ctx context.Context, r *dpopnonce.Repository, do func() error) (perSecond float64, err error) {
	ending, end := context.WithCancel(ctx)
	defer end()
	var deleted int64
	failed := make(chan error, 1)
	start := time.Now()
	go func() {
		var err error
		deleted, err = r.Sweep(ending)
		if err == nil {
			err = errSpent
		}
		failed <- err
	}()
	err = do()
	end()
	if failure := <-failed; !errors.Is(failure, context.Canceled) {
		err = errors.Join(err, failure)
	}
	return float64(deleted) / time.Since(start).Seconds(), err
}

// fillExpired fills the table with live rows and then expired ones.
func (s *server) fillExpired(ctx context.Context, expired, live int) error {
	if err := s.fill(ctx, live); err != nil {
		return err
	}
	if _, err := s.admin.Exec(ctx, `INSERT INTO `+table+` (id, nonce, issued_at, expires_at)
		SELECT gen_random_uuid(), 'expired-' || i, now() - interval '1 hour', now() - interval '1 second' * (1 + i % 3000)
		FROM generate_series(1, $1) AS i`, expired); err != nil {
		return err
	}
	if _, err := s.admin.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
		return err
	}
	_, err := s.admin.Exec(ctx, "CHECKPOINT")
	return err
}

// plan is what EXPLAIN prints for a statement.
func (s *server) plan(ctx context.Context, sql string) (string, error) {
	rows, err := s.admin.Query(ctx, "EXPLAIN "+sql)
	if err != nil {
		return "", err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return strings.Join(lines, "\n"), err
}
