package main

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A row is the values of one, in the order of columns.
type row struct {
	id              uuid.UUID
	nonce           string
	issued, expires time.Time
	used            any // time.Time or nil
}

var columnNames = []string{"id", "nonce", "issued_at", "expires_at", "used_at"}

func (r row) values(instant func(time.Time) any) []any {
	used := r.used
	if at, is := used.(time.Time); is {
		used = instant(at)
	}
	return []any{r.id.String(), r.nonce, instant(r.issued), instant(r.expires), used}
}

// filled returns the rows of a table in use: half are stored nonces that nobody
// has used, in the order in which they were issued, and half are spent proofs,
// which lie anywhere in the index. None expires during a run.
func filled(rows int) func(i int) row {
	now := time.Now().UTC().Truncate(time.Second)
	return func(i int) row {
		digest := md5.Sum(binary.BigEndian.AppendUint64(nil, uint64(i)))
		r := row{id: ordered(1_700_000_000_000+i, digest), issued: now,
			expires: now.Add(ttl/2 + ttl/2/time.Duration(rows)*time.Duration(i))}
		if i%2 == 0 {
			r.nonce = fmt.Sprintf("-0%010d%s", i, hex.EncodeToString(digest[:]))
			return r
		}
		proof := sha256.Sum256(digest[:])
		r.nonce, r.used = base64.RawURLEncoding.EncodeToString(proof[:]), now
		return r
	}
}

// issued returns n new nonces, shuffled, and their rows.
func issued(n int) ([]string, func(i int) row) {
	now := time.Now().UTC().Truncate(time.Second)
	prefix := "-P" + newPrefix()
	nonces := texts(prefix, n)
	rand.Shuffle(n, func(i, j int) { nonces[i], nonces[j] = nonces[j], nonces[i] })
	return nonces, func(i int) row {
		return row{id: uuid.Must(uuid.NewV7()), nonce: text(prefix, i), issued: now, expires: now.Add(ttl)}
	}
}

// expired returns rows that a sweep deletes.
func expired() func(i int) row {
	now := time.Now().UTC().Truncate(time.Second)
	prefix := "-N" + newPrefix()
	return func(i int) row {
		return row{id: uuid.Must(uuid.NewV7()), nonce: text(prefix, i), issued: now.Add(-ttl), expires: now.Add(-time.Minute)}
	}
}

// ordered returns an id that follows those of smaller numbers.
func ordered(ms int, random [16]byte) uuid.UUID {
	binary.BigEndian.PutUint64(random[:8], uint64(ms)<<16|0x7000)
	return random
}

// loadPostgres copies rows 1 to n into a table.
func (s *server) load(ctx context.Context, table string, n int, rows func(i int) row) error {
	i := 0
	_, err := s.admin.CopyFrom(ctx, pgx.Identifier{table}, columnNames, pgx.CopyFromFunc(func() ([]any, error) {
		if i++; i > n {
			return nil, nil
		}
		r := rows(i)
		return []any{[16]byte(r.id), r.nonce, r.issued, r.expires, r.used}, nil
	}))
	return err
}

func (m *mariadb) load(ctx context.Context, table string, n int, rows func(i int) row) error {
	const most = 1000 // rows in a statement
	for from := 0; from < n; from += most {
		count := min(most, n-from)
		var values []any
		for i := range count {
			r := rows(from + i + 1)
			if r.used != nil { // the library derives the id of a proof from its text there
				r.id = uuid.NewSHA1(uuid.Nil, []byte(r.nonce))
			}
			values = append(values, r.values(func(t time.Time) any { return t })...)
		}
		holders := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", count), ", ")
		if _, err := m.pool.ExecContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columnNames, ", ")+") VALUES "+holders, values...); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlite) load(ctx context.Context, table string, n int, rows func(i int) row) error {
	tx, err := s.pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	insert, err := tx.PrepareContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columnNames, ", ")+") VALUES (?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	for i := range n {
		if _, err := insert.ExecContext(ctx, rows(i+1).values(func(t time.Time) any { return t.Format(sqliteLayout) })...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
