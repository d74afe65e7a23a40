package main

import (
	"context"
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
	without, with time.Duration // p99 of a rotate
	took          time.Duration
	plan          string
}

// sweepUnderLoad lets 8 callers rotate, first without a sweep and then during one.
func (s *server) sweepUnderLoad(ctx context.Context, expired, live int) (result sweepResult, err error) {
	fmt.Fprintf(os.Stderr, "PostgreSQL: sweep of %d rows\n", expired)
	result.expired, result.live = expired, live
	if err := s.fill(ctx, live); err != nil {
		return result, err
	}
	if _, err := s.admin.Exec(ctx, `INSERT INTO `+table+` (id, nonce, issued_at, expires_at)
		SELECT gen_random_uuid(), 'expired-' || i, now() - interval '1 hour', now() - interval '1 second' * (1 + i % 3000)
		FROM generate_series(1, $1) AS i`, expired); err != nil {
		return result, err
	}
	if _, err := s.admin.Exec(ctx, "VACUUM ANALYZE "+table); err != nil {
		return result, err
	}
	if _, err := s.admin.Exec(ctx, "CHECKPOINT"); err != nil {
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
	library := named(s.stores, plain)
	const length = 8 * time.Second
	without, err := run(ctx, library, "rotate", 8, length, nil)
	if err != nil {
		return result, err
	}
	result.without = percentile(without.latencies, 0.99)

	if result.plan, err = s.plan(ctx, strings.NewReplacer("@now", "now()", "@limit", "1000").Replace(sweepSQL)); err != nil {
		return result, err
	}
	swept := make(chan error, 1)
	start := time.Now()
	go func() {
		n, err := r.Sweep(ctx)
		if err == nil && n < int64(expired) {
			err = fmt.Errorf("swept %d of %d expired rows", n, expired)
		}
		swept <- err
	}()
	var latencies []time.Duration
	for {
		during, err := run(ctx, library, "rotate", 8, 500*time.Millisecond, nil)
		if err != nil {
			return result, err
		}
		latencies = append(latencies, during.latencies...)
		select {
		case err := <-swept:
			result.took = time.Since(start)
			result.with = percentile(latencies, 0.99)
			return result, err
		default:
		}
	}
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
