package dpopnonce

import (
	"context"
	"time"

	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

// outcomes are those of nonces in a shared statement. One that is left out is
// not in the table.
type outcomes map[string]error

// spendAll consumes the nonces of calls and stores rows, their successors, if
// there are any: all in one commit.
func (g *group) spendAll(ctx context.Context, calls []*call, rows []DPoPNonce) error {
	nonces, ttl := presented(calls), calls[0].ttl
	var at time.Time
	var all outcomes
	stored := false
	spend, strategy := g.session.Do, g.bySingle
	if g.sql.Steps != nil {
		spend, strategy = g.session.Transaction, g.bySteps
	}
	err := spend(ctx, func(conn session.Conn) (err error) {
		at = g.now()
		values := g.judging(session.Values{"nonces": g.list(nonces)}, at, ttl)
		all, stored, err = strategy(conn, values, nonces, rows)
		return err
	})
	if err != nil {
		return err
	}
	if now := g.now(); !now.Equal(at) {
		g.whenAllDone(ctx, all, ttl)
	}
	settle(calls, all)
	for i, c := range calls {
		if stored {
			c.next = rows[i].Nonce
		} // else one was in the table already, and each caller issues another
	}
	return nil
}

// bySingle spends by one statement.
func (g *group) bySingle(conn session.Conn, values session.Values, nonces []string, rows []DPoPNonce) (all outcomes, stored bool, err error) {
	sql := g.sql.Single.Consume
	if len(rows) > 0 {
		sql = g.sql.Single.Rotate
		g.newRows(values, rows)
	}
	all = make(outcomes, len(nonces))
	err = conn.Rows(sql, values, func(scan func(...any) error) error {
		var nonce string
		var accepted bool
		var used, fresh *bool
		if err := scan(&nonce, &accepted, &used, &fresh); err != nil {
			return err
		}
		_, known := all[nonce]
		switch {
		case nonce == "":
			stored = accepted
		case accepted:
			all[nonce] = nil
		case !known && used != nil && fresh != nil:
			all[nonce] = verdict{*used, *fresh}.outcome(batch.ErrAlone) // somebody holds its row
		}
		return nil
	})
	return all, stored, err
}

// bySteps spends by the steps of a transaction. The UPDATE that accepts is the
// last of them: see session.Transaction.
func (g *group) bySteps(conn session.Conn, values session.Values, nonces []string, rows []DPoPNonce) (all outcomes, stored bool, err error) {
	steps := g.sql.Steps
	if len(rows) > 0 {
		if err := g.insertAll(conn, steps.Insert, rows); err != nil {
			return nil, false, err
		}
	}
	first := steps.Lock
	if first == "" {
		first = steps.Consume
	}
	ids := make(map[string]string, len(nonces))
	err = conn.Rows(first, values, func(scan func(...any) error) error {
		var nonce, id string
		err := scan(&nonce, &id)
		ids[nonce] = id
		return err
	})
	if err != nil {
		return nil, false, err
	}
	var locked []string
	for _, nonce := range nonces {
		if id, ok := ids[nonce]; ok {
			locked = append(locked, id)
		}
	}
	all = outcomes{}
	if len(locked) < len(nonces) {
		verdicts, err := g.verdicts(conn, values)
		if err != nil {
			return nil, false, err
		}
		for nonce, v := range verdicts {
			all[nonce] = v.outcome(batch.ErrAlone)
		}
	}
	for _, nonce := range nonces {
		if _, ok := ids[nonce]; ok {
			all[nonce] = nil
		}
	}
	if steps.Lock == "" || len(locked) == 0 {
		return all, len(rows) > 0, nil
	}
	values["locked"] = g.list(locked)
	n, err := conn.Exec(steps.Consume, values)
	if err == nil && n != int64(len(locked)) {
		err = batch.ErrAlone
	}
	return all, len(rows) > 0, err
}

// verdicts reads the verdicts on the nonces that values name.
func (g *group) verdicts(conn session.Conn, values session.Values) (map[string]verdict, error) {
	all := map[string]verdict{}
	err := conn.Rows(g.sql.Verdicts, values, func(scan func(...any) error) error {
		var nonce string
		var v verdict
		err := scan(&nonce, &v.used, &v.fresh)
		all[nonce] = v
		return err
	})
	return all, err
}

// whenAllDone judges accepted nonces again, after the clock's second changed
// while their statement ran: see Repository.whenDone.
func (g *group) whenAllDone(ctx context.Context, all outcomes, ttl time.Duration) {
	var accepted []string
	for nonce, outcome := range all {
		if outcome == nil {
			accepted = append(accepted, nonce)
			all[nonce] = ErrExpired
		}
	}
	if len(accepted) == 0 {
		return
	}
	var verdicts map[string]verdict
	err := g.session.Do(ctx, func(conn session.Conn) (err error) {
		verdicts, err = g.verdicts(conn, g.judging(session.Values{"nonces": g.list(accepted)}, g.now(), ttl))
		return err
	})
	for _, nonce := range accepted {
		if err != nil || verdicts[nonce].fresh {
			all[nonce] = err
		}
	}
}

// settle gives every call its outcome. Of those that present one nonce one is
// accepted, and one that has not given up if there is one.
func settle(calls []*call, all outcomes) {
	winners := make(map[string]*call, len(calls))
	for _, c := range calls {
		if w := winners[c.nonce]; w == nil || w.Context.Err() != nil && c.Context.Err() == nil {
			winners[c.nonce] = c
		}
	}
	for _, c := range calls {
		outcome, found := all[c.nonce]
		switch {
		case !found:
			outcome = ErrUnknown
		case outcome == nil && winners[c.nonce] != c:
			outcome = ErrUsed
		}
		c.Outcome = outcome
	}
}
