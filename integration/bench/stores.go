package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"gorm.io/gorm"
)

const (
	table = "dpop_nonces"
	ttl   = time.Hour // longer than a run
)

// A store is one implementation of the operations. Rotate by hand is a consume
// and then an issue.
type store struct {
	name     string
	measured []string // operations that a comparison measures
	issue    func(context.Context) (string, error)
	consume  func(context.Context, string) error
	check    func(context.Context, string) error
	rotate   func(context.Context, string) (string, error)
	spend    func(ctx context.Context, id string) error

	// outside measures an operation itself, in place of the functions above.
	outside func(ctx context.Context, operation string, callers int) (sample, error)
}

func (s store) measures(operation string) bool { return slices.Contains(s.measured, operation) }

var errRejected = errors.New("rejected")

// The statements of the library, written by hand. Their values are numbered in
// the order in which they stand.
const (
	noConflict = ` ON CONFLICT (nonce) DO NOTHING`
	insertSQL  = `INSERT INTO ` + table + ` (id, nonce, issued_at, expires_at) VALUES ($1, $2, $3, $4)` + noConflict
	updateSQL  = `UPDATE ` + table + ` SET used_at = $1 WHERE nonce = $2 AND used_at IS NULL AND expires_at >= $3 AND issued_at >= $4 AND issued_at < $5`
	selectSQL  = `SELECT used_at IS NOT NULL, expires_at >= $1 AND issued_at >= $2 AND issued_at < $3 FROM ` + table + ` WHERE nonce = $4`
	spendSQL   = `INSERT INTO ` + table + ` (id, nonce, issued_at, expires_at, used_at) VALUES ($1, $2, $3, $4, $5)` + noConflict
)

// newText returns 256 random bits, for a nonce or the id of a proof.
func newText() (string, error) {
	var random [32]byte
	_, err := rand.Read(random[:])
	return base64.RawURLEncoding.EncodeToString(random[:]), err
}

// newRow returns the values of a hand-written insert.
func newRow(nonce string) ([]any, error) {
	id, err := uuid.NewV7()
	now := time.Now().UTC().Truncate(time.Second)
	return []any{id.String(), nonce, now, now.Add(ttl)}, err
}

func consumeValues(nonce string) []any {
	now := time.Now().UTC().Truncate(time.Second)
	return append([]any{now, nonce}, limits(now)...)
}

func checkValues(nonce string) []any {
	return append(limits(time.Now().UTC().Truncate(time.Second)), nonce)
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
	s := store{name: name, measured: operations}
	// judged runs a statement that accepts if it changes one row.
	judged := func(ctx context.Context, sql string, values []any) error {
		rows, err := exec(ctx, sql, values...)
		if err == nil && rows != 1 {
			return errRejected
		}
		return err
	}
	s.issue = func(ctx context.Context) (string, error) {
		nonce, err := newText()
		if err != nil {
			return "", err
		}
		values, err := newRow(nonce)
		if err != nil {
			return "", err
		}
		_, err = exec(ctx, insertSQL, values...)
		return nonce, err
	}
	s.consume = func(ctx context.Context, nonce string) error {
		return judged(ctx, updateSQL, consumeValues(nonce))
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
	s.spend = func(ctx context.Context, id string) error {
		values, err := newRow(id)
		if err != nil {
			return err
		}
		return judged(ctx, spendSQL, append(values, values[2]))
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

// bySQL prepares the statements once. rewrite makes them the database's, and
// instant is how a time is bound.
func bySQL(pool *sql.DB, rewrite func(query string) string, instant func(time.Time) any) (store, error) {
	statements := map[string]*sql.Stmt{}
	for _, query := range []string{insertSQL, updateSQL, selectSQL, spendSQL} {
		s, err := pool.Prepare(rewrite(query))
		if err != nil {
			return store{}, fmt.Errorf("%s: %w", query, err)
		}
		statements[query] = s
	}
	bind := func(values []any) []any {
		for i, v := range values {
			if at, ok := v.(time.Time); ok {
				values[i] = instant(at)
			}
		}
		return values
	}
	return byHand("database/sql by hand", func(ctx context.Context, query string, values ...any) (int64, error) {
		done, err := statements[query].ExecContext(ctx, bind(values)...)
		if err != nil {
			return 0, err
		}
		return done.RowsAffected()
	}, func(ctx context.Context, values ...any) (used, fresh bool, err error) {
		err = statements[selectSQL].QueryRowContext(ctx, bind(values)...).Scan(&used, &fresh)
		return used, fresh, err
	}), nil
}

// byModel uses GORM in the usual way: models, conditions and the default
// transaction.
func byModel(db *gorm.DB) store {
	s := store{name: "gorm, the usual way", measured: []string{"issue", "consume", "check", "rotate"}}
	s.issue = func(ctx context.Context) (string, error) {
		nonce, err := newText()
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
			Where("expires_at >= ? AND issued_at >= ? AND issued_at < ? AND nonce = ? AND used_at IS NULL", checkValues(nonce)...).
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
