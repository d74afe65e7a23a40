package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"
)

const (
	table = "dpop_nonces"
	ttl   = 5 * time.Minute
)

// A store is one implementation of the operations. Rotate by hand is a consume
// and then an issue.
type store struct {
	name    string
	issue   func(context.Context) (string, error)
	consume func(context.Context, string) error
	check   func(context.Context, string) error
	rotate  func(context.Context, string) (string, error)

	// outside measures an operation itself, in place of the functions above.
	outside func(ctx context.Context, operation string, callers int) (sample, error)
}

var errRejected = errors.New("rejected")

// The statements of the library, written by hand.
const (
	insertSQL = `INSERT INTO ` + table + ` (id, nonce, issued_at, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT (nonce) DO NOTHING`
	updateSQL = `UPDATE ` + table + ` SET used_at = $1 WHERE nonce = $2 AND used_at IS NULL AND expires_at >= $3 AND issued_at >= $4 AND issued_at < $5`
	selectSQL = `SELECT used_at IS NOT NULL, expires_at >= $2 AND issued_at >= $3 AND issued_at < $4 FROM ` + table + ` WHERE nonce = $1`
)

// newRow returns a random nonce and the values of its hand-written insert.
func newRow() (nonce string, values []any, err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", nil, err
	}
	id, err := uuid.NewV7()
	nonce = base64.RawURLEncoding.EncodeToString(random[:])
	now := time.Now().UTC().Truncate(time.Second)
	return nonce, []any{id.String(), nonce, now, now.Add(ttl)}, err
}

func consumeValues(nonce string) []any {
	now := time.Now().UTC().Truncate(time.Second)
	return append([]any{now, nonce}, limits(now)...)
}

func checkValues(nonce string) []any {
	return append([]any{nonce}, limits(time.Now().UTC().Truncate(time.Second))...)
}

// limits are the bounds of a fresh nonce: expires_at is at least the first,
// issued_at at least the second and less than the third.
func limits(now time.Time) []any {
	return []any{now.Add(time.Second), now.Add(-ttl), now.Add(dpopnonce.Tolerance + time.Second)}
}

// byHand makes a store of two functions: exec runs a statement and returns the
// count of its rows, verdict reads the row of selectSQL.
func byHand(name string, exec func(ctx context.Context, sql string, values ...any) (int64, error),
	verdict func(ctx context.Context, values ...any) (used, fresh bool, err error)) store {
	s := store{name: name}
	s.issue = func(ctx context.Context) (string, error) {
		nonce, values, err := newRow()
		if err != nil {
			return "", err
		}
		_, err = exec(ctx, insertSQL, values...)
		return nonce, err
	}
	s.consume = func(ctx context.Context, nonce string) error {
		rows, err := exec(ctx, updateSQL, consumeValues(nonce)...)
		if err == nil && rows != 1 {
			return errRejected
		}
		return err
	}
	s.check = func(ctx context.Context, nonce string) error {
		used, fresh, err := verdict(ctx, checkValues(nonce)...)
		if err == nil && (used || !fresh) {
			return errRejected
		}
		return err
	}
	s.rotate = func(ctx context.Context, nonce string) (string, error) {
		if err := s.consume(ctx, nonce); err != nil {
			return "", err
		}
		return s.issue(ctx)
	}
	return s
}

func byPGX(pool *pgxpool.Pool) store {
	return byHand("pgx by hand", func(ctx context.Context, sql string, values ...any) (int64, error) {
		tag, err := pool.Exec(ctx, sql, values...)
		return tag.RowsAffected(), err
	}, func(ctx context.Context, values ...any) (used, fresh bool, err error) {
		err = pool.QueryRow(ctx, selectSQL, values...).Scan(&used, &fresh)
		return used, fresh, err
	})
}

func bySQL(pool *sql.DB) store {
	return byHand("database/sql by hand", func(ctx context.Context, query string, values ...any) (int64, error) {
		done, err := pool.ExecContext(ctx, query, values...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	}, func(ctx context.Context, values ...any) (used, fresh bool, err error) {
		err = pool.QueryRowContext(ctx, selectSQL, values...).Scan(&used, &fresh)
		return used, fresh, err
	})
}

// byModel uses GORM in the usual way: models, conditions and the default
// transaction.
func byModel(db *gorm.DB) store {
	s := store{name: "gorm, the usual way"}
	s.issue = func(ctx context.Context) (string, error) {
		nonce, _, err := newRow()
		if err != nil {
			return "", err
		}
		now := time.Now()
		return nonce, db.WithContext(ctx).Create(&dpopnonce.DPoPNonce{Nonce: nonce, IssuedAt: now, ExpiresAt: now.Add(ttl)}).Error
	}
	s.consume = func(ctx context.Context, nonce string) error {
		v := consumeValues(nonce)
		done := db.WithContext(ctx).Model(&dpopnonce.DPoPNonce{}).
			Where("nonce = ? AND used_at IS NULL AND expires_at >= ? AND issued_at >= ? AND issued_at < ?", v[1:]...).Update("used_at", v[0])
		if done.Error == nil && done.RowsAffected != 1 {
			return errRejected
		}
		return done.Error
	}
	s.check = func(ctx context.Context, nonce string) error {
		var row dpopnonce.DPoPNonce
		return db.WithContext(ctx).
			Where("nonce = ? AND used_at IS NULL AND expires_at >= ? AND issued_at >= ? AND issued_at < ?", checkValues(nonce)...).
			Take(&row).Error
	}
	s.rotate = func(ctx context.Context, nonce string) (string, error) {
		if err := s.consume(ctx, nonce); err != nil {
			return "", err
		}
		return s.issue(ctx)
	}
	return s
}

func byLibrary(name string, db *gorm.DB, opts ...dpopnonce.Option) (store, error) {
	r, err := dpopnonce.NewRepository(db, opts...)
	if err != nil {
		return store{}, fmt.Errorf("%s: %w", name, err)
	}
	return store{
		name:    name,
		issue:   func(ctx context.Context) (string, error) { return r.Issue(ctx, ttl) },
		consume: func(ctx context.Context, nonce string) error { return r.Consume(ctx, nonce, ttl) },
		check:   func(ctx context.Context, nonce string) error { return r.Check(ctx, nonce, ttl) },
		rotate:  func(ctx context.Context, nonce string) (string, error) { return r.Rotate(ctx, nonce, ttl) },
	}, nil
}
