package dpopnonce

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

// acceptAll accepts entries by one INSERT.
func (r *Repository) acceptAll(ctx context.Context, calls []*call) error {
	if !r.counted.Load() || !r.isProven() { // a trigger may count none of the rows that it stores
		return batch.ErrAlone
	}
	return r.share(ctx, calls, r.session.Do, func(conn session.Conn) error {
		now := r.now()
		winners := map[string]*call{} // one of those that present the same, still there if possible
		inTime := 0
		for _, c := range calls {
			if c.Outcome = c.entry.judge(now); c.Outcome != nil {
				continue
			}
			inTime++
			c.Outcome = c.entry.taken
			if w := winners[c.nonce]; w == nil || w.Gone() && !c.Gone() {
				winners[c.nonce] = c
			}
		}
		for _, c := range calls {
			if c.Outcome == c.entry.taken {
				c.seen.sends(inTime)
			} else {
				c.seen.sends(0)
			}
		}
		rows := make([]DPoPNonce, 0, len(winners))
		for _, c := range winners {
			row, err := r.used(c, &now)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		// In one order everywhere: two INSERTs in opposite orders deadlock.
		slices.SortFunc(rows, func(a, b DPoPNonce) int { return strings.Compare(a.Nonce, b.Nonce) })
		return r.insertUsed(conn, rows, func(nonce string) error {
			c := winners[nonce]
			if c == nil {
				return r.unchanged("INSERT stores another nonce")
			}
			c.Outcome = nil
			return nil
		})
	})
}

// insertUsed inserts rows and calls inserted for the nonce of each that was not
// in the table. MariaDB returns rows before the one that fails the statement, which
// then stores none: nothing is inserted before the statement has ended.
func (r *Repository) insertUsed(conn session.Conn, rows []DPoPNonce, inserted func(nonce string) error) error {
	if len(rows) == 0 {
		return nil
	}
	var nonce string
	stored := make([]string, 0, len(rows))
	err := conn.Returning(r.sql.Shared.Accept, r.usedRows(rows), func(scan func(...any) error) error {
		err := scan(&nonce)
		stored = append(stored, nonce)
		return err
	})
	if err == nil {
		for _, nonce := range stored {
			if err := inserted(nonce); err != nil {
				return err
			}
		}
		return nil
	}
	switch fault, _ := r.dialect.Fault(err); fault {
	case dialects.Locked:
		if !r.sql.WritersTakeTurns { // one waits for a row, and the others must not
			return batch.ErrAlone
		}
	case dialects.Unshared:
		return batch.ErrAlone
	case dialects.DuplicateNonce, dialects.DuplicateKey:
		return r.insertOthers(conn, rows, inserted)
	}
	return err
}

// usedRows returns the values of an INSERT of rows that are used.
func (r *Repository) usedRows(rows []DPoPNonce) session.Values {
	if r.sql.Shared.Steps != nil {
		return r.asRows(rows)
	}
	now := *rows[0].UsedAt
	after := func(t time.Time) string { return strconv.FormatInt(t.Unix()-now.Unix(), 10) }
	n := len(rows)
	ids, nexts, issued, expires := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, row := range rows {
		ids[i], nexts[i], issued[i], expires[i] = row.ID.String(), row.Nonce, after(row.IssuedAt), after(row.ExpiresAt)
	}
	return session.Values{"ids", ids, "nexts", nexts, "issued", issued, "expires", expires, "now", r.bind(now)}
}

// insertOthers inserts those rows whose nonces are not in the table, after an
// INSERT of all failed because some are.
func (r *Repository) insertOthers(conn session.Conn, rows []DPoPNonce, inserted func(nonce string) error) error {
	nonces := make([]string, len(rows))
	for i, row := range rows {
		nonces[i] = row.Nonce
	}
	there := map[string]bool{}
	values := r.judging(*rows[0].UsedAt, Tolerance, "nonces", nonces)
	err := conn.Rows(r.sql.Shared.Verdicts, values, func(scan func(...any) error) error {
		var nonce string
		var v verdict
		err := scan(&nonce, &v.used, &v.fresh)
		there[nonce] = true
		return err
	})
	if err != nil {
		if fault, _ := r.dialect.Fault(err); fault == dialects.NoUniqueIndex { // of the name in the hint
			return batch.ErrAlone
		}
		return err
	}
	others := slices.DeleteFunc(slices.Clone(rows), func(row DPoPNonce) bool { return there[row.Nonce] })
	if len(others) == len(rows) {
		return batch.ErrAlone
	}
	return r.insertUsed(conn, others, inserted)
}
