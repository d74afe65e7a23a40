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

// A sweepResult is the effect of a sweep on callers that rotate.
type sweepResult struct {
	expired, live int
	windows       int
	length        time.Duration
	without, with time.Duration // p99 of a rotate: medians of the windows
	ratio         float64       // median of the pairs of windows
	calls         float64       // per second with the sweep over those without, as ratio
	beside, alone float64       // rows per second that the sweep deletes
	plan          string
}

// sweepUnderLoad lets 8 callers rotate, in windows with and without a sweep in
// turns, and then sweeps the rest alone.
func (s *server) sweepUnderLoad(ctx context.Context, t task) (result sweepResult, err error) {
	fmt.Fprintf(os.Stderr, "PostgreSQL: sweep of %d rows\n", t.expired)
	result.expired, result.live, result.length = t.expired, t.live, 3*t.length
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
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		return result, err
	}
	if result.plan, err = s.plan(ctx, strings.NewReplacer("@now", "now()", "@limit", "1000").Replace(sweepSQL)); err != nil {
		return result, err
	}
	rotates := func() (sample, error) {
		return run(ctx, named(s.stores, plain), "rotate", 8, result.length, nil)
	}
	if _, err := rotates(); err != nil { // warms up
		return result, err
	}
	var without, with, ratios, calls []float64
	var swept int64
	var took time.Duration
	for swept < int64(t.expired)*9/10 && result.windows < maxWindows {
		before, err := rotates()
		if err != nil {
			return result, err
		}
		ending, end := context.WithCancel(ctx)
		deleted := make(chan int64)
		failed := make(chan error, 1)
		start := time.Now()
		go func() {
			n, err := r.Sweep(ending)
			failed <- err
			deleted <- n
		}()
		during, err := rotates()
		end()
		if err := errors.Join(err, <-failed); err != nil && !errors.Is(err, context.Canceled) {
			return result, err
		}
		swept += <-deleted
		took += time.Since(start)
		result.windows++
		one, other := float64(percentile(before.latencies, 0.99)), float64(percentile(during.latencies, 0.99))
		without, with, ratios = append(without, one), append(with, other), append(ratios, other/one)
		calls = append(calls, during.perSecond()/before.perSecond())
	}
	result.beside = float64(swept) / took.Seconds()
	result.without, result.with = time.Duration(median(without)), time.Duration(median(with))
	result.ratio, result.calls = median(ratios), median(calls)
	start := time.Now()
	swept, err = r.Sweep(ctx)
	result.alone = float64(swept) / time.Since(start).Seconds()
	return result, err
}

// maxWindows bounds how long a slow sweep is watched.
const maxWindows = 20

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
