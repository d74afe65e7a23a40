package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// byShared sends the shared statements themselves, back to back on two
// connections: the limit of group commit. Each is for as many calls as there are
// callers divided by split: by 2, no more calls are under way than there are
// callers.
func (s *server) byShared(name string, length time.Duration, split int) (store, error) {
	of, err := dialects.ParseTable(table)
	if err != nil {
		return store{}, err
	}
	all, err := dialects.Statements(dialects.Postgres(), of)
	if err != nil {
		return store{}, err
	}
	statements := map[string]string{"consume": all.Shared.Single.Consume, "rotate": all.Shared.Single.Rotate, "spend": all.Shared.Accept}
	return store{name: name, measured: []string{"consume", "rotate", "spend"},
		outside: func(ctx context.Context, operation string, callers int) (sample, error) {
			var rows []string
			if operation != "spend" {
				if rows, err = s.add(ctx, newPrefix(), int(length.Seconds()*150_000)); err != nil {
					return sample{}, err
				}
			}
			return backToBack(ctx, s.admin, byNumber(statements[operation]), rows, max(1, callers/split), length)
		}}, nil
}

// A shared is a statement whose values have numbers, and their names.
type shared struct {
	sql   string
	names []string
}

var valueName = regexp.MustCompile(`@\w+`)

func byNumber(sql string) (s shared) {
	s.sql = valueName.ReplaceAllStringFunc(sql, func(name string) string {
		s.names = append(s.names, name[1:])
		return "$" + strconv.Itoa(len(s.names))
	})
	return s
}

// backToBack sends a statement on two connections for a time, or until no row is
// left for a full batch.
func backToBack(ctx context.Context, pool *pgxpool.Pool, statement shared, rows []string, size int, length time.Duration) (sample, error) {
	var result sample
	var mu sync.Mutex
	batch := func() (nonces []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if rows != nil && len(rows) < size {
			return nil, errSpent
		}
		if rows != nil {
			nonces, rows = rows[:size], rows[size:]
			return nonces, nil
		}
		for range size {
			text, err := newText()
			if err != nil {
				return nil, err
			}
			nonces = append(nonces, text)
		}
		slices.Sort(nonces)
		return nonces, nil
	}
	errs := make([]error, 2)
	var wait sync.WaitGroup
	start := time.Now()
	for i := range errs {
		wait.Go(func() {
			errs[i] = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
				for time.Since(start) < length {
					nonces, err := batch()
					if err != nil {
						return err
					}
					if err := statement.send(ctx, c.Conn(), nonces); err != nil {
						return err
					}
					mu.Lock()
					result.calls += float64(size)
					mu.Unlock()
				}
				return nil
			})
		})
	}
	wait.Wait()
	result.elapsed = time.Since(start)
	for i, err := range errs {
		if errors.Is(err, errSpent) {
			errs[i] = nil
		}
	}
	return result, errors.Join(errs...)
}

// send makes one batch of calls, and is an error unless all are accepted.
func (s shared) send(ctx context.Context, c *pgx.Conn, nonces []string) error {
	now := time.Now().UTC().Truncate(time.Second)
	bounds := limits(now)
	ids, nexts := make([]string, len(nonces)), make([]string, len(nonces))
	issued, expires := make([]int64, len(nonces)), make([]int64, len(nonces))
	for i := range nonces {
		next, err := newText()
		if err != nil {
			return err
		}
		row, err := newRow(next)
		if err != nil {
			return err
		}
		ids[i], nexts[i], expires[i] = row[0].(string), next, int64(ttl.Seconds())
	}
	var values []any
	for _, name := range s.names {
		switch name {
		case "now", "issued_at":
			values = append(values, now)
		case "expires_at":
			values = append(values, now.Add(ttl))
		case "next_second":
			values = append(values, bounds[0])
		case "oldest":
			values = append(values, bounds[1])
		case "too_new":
			values = append(values, bounds[2])
		case "nonces":
			values = append(values, nonces)
		case "issued":
			values = append(values, issued)
		case "expires":
			values = append(values, expires)
		case "ids":
			values = append(values, ids)
		case "nexts":
			values = append(values, nexts)
		}
	}
	answers, err := c.Query(ctx, s.sql, values...)
	if err != nil {
		return err
	}
	accepted := 0
	for answers.Next() {
		if string(answers.RawValues()[0]) != "" { // Rotate adds one row, on its successors
			accepted++
		}
	}
	if err := answers.Err(); err != nil {
		return err
	}
	if accepted != len(nonces) {
		return errRejected
	}
	return nil
}
