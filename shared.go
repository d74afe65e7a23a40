package dpopnonce

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

func (r *Repository) issueAll(ctx context.Context, calls []*call) error {
	rows, err := r.mintAll(calls)
	if err != nil {
		return err
	}
	err = r.share(ctx, calls, r.session.Do, func(conn session.Conn) error { return r.insertAll(conn, rows) })
	for i, c := range calls {
		c.next, c.Outcome = rows[i].Nonce, nil
	}
	return err
}

// mintAll returns a new row for each call.
func (r *Repository) mintAll(calls []*call) (rows []DPoPNonce, err error) {
	rows = make([]DPoPNonce, len(calls))
	for i, c := range calls {
		if rows[i], err = r.mint(c.ttl); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// insertAll inserts all rows or none.
func (r *Repository) insertAll(conn session.Conn, rows []DPoPNonce) error {
	n, err := conn.Exec(r.sql.Shared.Issue, r.newRows(rows))
	if err != nil {
		fault, _ := r.dialect.Fault(err)
		if fault != dialects.DuplicateNonce && fault != dialects.Unshared {
			return err
		}
	}
	if n != int64(len(rows)) {
		return batch.ErrAlone
	}
	return nil
}

// newRows returns the values of an INSERT of rows.
func (r *Repository) newRows(rows []DPoPNonce) session.Values {
	if r.sql.Shared.Steps != nil {
		return r.asRows(rows)
	}
	ids, nexts := make([]string, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		ids[i], nexts[i] = row.ID.String(), row.Nonce
	}
	return session.Values{"ids", ids, "nexts", nexts,
		"issued_at", r.bind(rows[0].IssuedAt), "expires_at", r.bind(rows[0].ExpiresAt)}
}

// asRows returns rows as one value, and their nonces, for the session to hide.
func (r *Repository) asRows(rows []DPoPNonce) session.Values {
	all, nexts := make(session.Rows, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		all[i] = []any{row.ID.String(), row.Nonce, r.bind(row.IssuedAt), r.bind(row.ExpiresAt), r.instant(row.UsedAt)}
		nexts[i] = row.Nonce
	}
	return session.Values{"rows", all, "nexts", nexts}
}

// consumeAll consumes the nonces of calls and stores rows, their successors, if
// there are any: all in one commit.
func (r *Repository) consumeAll(ctx context.Context, calls []*call, rows []DPoPNonce) error {
	nonces := make([]string, len(calls))
	for i, c := range calls {
		nonces[i] = c.nonce
	}
	slices.Sort(nonces) // rows are locked in one order everywhere
	nonces = slices.Compact(nonces)

	var at time.Time
	var all map[string]error
	var stored bool
	do, strategy := r.session.Do, r.bySingle
	if r.sql.Shared.Steps != nil {
		do, strategy = r.session.Transaction, r.bySteps
	}
	err := r.share(ctx, calls, do, func(conn session.Conn) (err error) {
		at, all = r.now(), make(map[string]error, len(nonces))
		for _, nonce := range nonces {
			all[nonce] = ErrUnknown // unless the statement finds it
		}
		values := r.judging(at, calls[0].ttl, "nonces", nonces)
		if len(rows) > 0 {
			values = append(values, r.newRows(rows)...)
		}
		stored, err = strategy(conn, values, all, rows)
		return err
	})
	if err != nil {
		return err
	}
	settle(calls, all)
	for i, c := range calls {
		c.at = at
		if stored && len(rows) > 0 { // else one was in the table already, and each caller issues another
			c.next = rows[i].Nonce
		}
	}
	return nil
}

// bySingle consumes by one statement, and reports whether it stored rows.
func (r *Repository) bySingle(conn session.Conn, values session.Values, all map[string]error, rows []DPoPNonce) (stored bool, err error) {
	sql := r.sql.Shared.Single.Consume
	if len(rows) > 0 {
		sql = r.sql.Shared.Single.Rotate
	}
	err = conn.Rows(sql, values, func(scan func(...any) error) error {
		var nonce string
		var accepted bool
		var used, fresh *bool
		if err := scan(&nonce, &accepted, &used, &fresh); err != nil {
			return err
		}
		switch {
		case nonce == "":
			stored = accepted
		case accepted:
			all[nonce] = nil
		case all[nonce] != nil && used != nil && fresh != nil:
			all[nonce] = verdict{used: *used, fresh: *fresh}.outcome(batch.ErrAlone) // another transaction holds its row
		}
		return nil
	})
	return stored, err
}

// bySteps consumes by the steps of a transaction. The UPDATE that accepts is the
// last of them: see session.Transaction.
func (r *Repository) bySteps(conn session.Conn, values session.Values, all map[string]error, rows []DPoPNonce) (stored bool, err error) {
	steps := r.sql.Shared.Steps
	if len(rows) > 0 {
		if err := r.insertAll(conn, rows); err != nil {
			return false, err
		}
	}
	var locked []string
	err = conn.Rows(steps.Lock, values, func(scan func(...any) error) error {
		var nonce, id string
		err := scan(&nonce, &id)
		if _, asked := all[nonce]; asked { // a collation may find others
			all[nonce] = nil
			locked = append(locked, id)
		}
		return err
	})
	if err == nil && len(locked) < len(all) {
		err = conn.Rows(r.sql.Shared.Verdicts, values, func(scan func(...any) error) error {
			var nonce string
			var used bool
			var fresh sql.NullBool
			err := scan(&nonce, &used, &fresh)
			if all[nonce] != nil { // another transaction holds its row, or its instants are foreign
				all[nonce] = verdict{used: used, fresh: !fresh.Valid || fresh.Bool}.outcome(batch.ErrAlone)
			}
			return err
		})
	}
	if err != nil || steps.Consume == "" || len(locked) == 0 {
		return true, err
	}
	n, err := conn.Exec(steps.Consume, append(values, "locked", locked))
	if err == nil && n != int64(len(locked)) {
		err = batch.ErrAlone
	}
	return true, err
}

// settle gives every call its outcome. Of those that present one nonce one is
// accepted, and one that has not given up if there is one.
func settle(calls []*call, all map[string]error) {
	winners := make(map[string]*call, len(calls))
	for _, c := range calls {
		if w := winners[c.nonce]; w == nil || w.Gone() && !c.Gone() {
			winners[c.nonce] = c
		}
	}
	for _, c := range calls {
		if c.Outcome = all[c.nonce]; c.Outcome == nil && winners[c.nonce] != c {
			c.Outcome = ErrUsed
		}
	}
}
