package dpopnonce

import (
	"context"
	"sort"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/attesto/dpopnonce/internal/batch"
	"github.com/attesto/dpopnonce/internal/session"
)

// WithGroupCommit lets concurrent Issue, Consume and Rotate calls share a
// statement, and with it a commit. It pays from some tens of callers on.
//
// A lone caller runs its statement on its own goroutine. Each caller gets its
// own outcome, and of those that present one nonce only one is accepted. A
// caller whose context ends returns at once; if its call was sent, its nonce may
// be spent. A row that another transaction holds delays the callers that present
// it, and nobody else. A statement that fails is an error for all that share it.
//
// A shared statement has a context of its own, without the values of its
// callers' contexts: callbacks and plugins of the application that need such a
// value fail there.
//
// Nothing is shared in what may be a caller's transaction, as through
// [Repository.WithTx]. An idle repository has no goroutine. A dialect without
// shared statements is an error from NewRepository.
func WithGroupCommit() Option {
	return func(r *Repository) error {
		r.groupCommit = true
		return nil
	}
}

// queues are where concurrent calls meet. A nil one makes each call alone.
type queues struct {
	issue, consume, rotate *batch.Queue[*call]
}

// The limits that measured best at 1, 8, 32 and 128 callers: see
// docs/performance.md.
var (
	groupLimits  = batch.Limits{Alone: 8, Shared: 2, Size: 256}
	serialLimits = batch.Limits{Alone: 1, Shared: 1, Size: 256}
)

func (r *Repository) newQueues() queues {
	limits := groupLimits
	if r.sql.WritersTakeTurns {
		limits = serialLimits
	}
	queue := func(share func(context.Context, []*call) error) *batch.Queue[*call] {
		return batch.New(limits, func(first, c *call) bool { return c.ttl == first.ttl }, share)
	}
	g := &group{r, r.sql.Shared}
	return queues{queue(g.issue), queue(g.consume), queue(g.rotate)}
}

// A group makes many calls by one statement, or by the steps of one transaction.
type group struct {
	*Repository
	sql *dialects.Shared
}

func (g *group) issue(ctx context.Context, calls []*call) error {
	rows, err := g.successors(calls)
	if err != nil {
		return err
	}
	err = g.session.Do(ctx, func(conn session.Conn) error {
		if g.sql.Single != nil {
			return g.insertAll(conn, g.sql.Single.Issue, rows)
		}
		return g.insertAll(conn, g.sql.Steps.Insert, rows)
	})
	for i, c := range calls {
		c.next, c.Outcome = rows[i].Nonce, nil
	}
	return err
}

func (g *group) consume(ctx context.Context, calls []*call) error {
	return g.spendAll(ctx, calls, nil)
}

func (g *group) rotate(ctx context.Context, calls []*call) error {
	rows, err := g.successors(calls)
	if err != nil {
		return err
	}
	return g.spendAll(ctx, calls, rows)
}

// successors returns a new row for each call.
func (g *group) successors(calls []*call) ([]DPoPNonce, error) {
	rows := make([]DPoPNonce, len(calls))
	for i, c := range calls {
		var err error
		if rows[i], err = g.mint(c.ttl); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// insertAll inserts all rows or none.
func (g *group) insertAll(conn session.Conn, sql string, rows []DPoPNonce) error {
	n, err := conn.Exec(sql, g.newRows(session.Values{}, rows))
	if err != nil {
		if fault, _ := g.dialect.Fault(err); fault != dialects.DuplicateNonce {
			return err
		}
	}
	if n != int64(len(rows)) {
		return batch.ErrAlone
	}
	return nil
}

// newRows adds to values those of an INSERT of rows.
func (g *group) newRows(values session.Values, rows []DPoPNonce) session.Values {
	if g.sql.Single != nil {
		ids, nexts := make([]string, len(rows)), make([]string, len(rows))
		for i, row := range rows {
			ids[i], nexts[i] = row.ID.String(), row.Nonce
		}
		values["ids"], values["nexts"] = g.list(ids), g.list(nexts)
		values["issued_at"], values["expires_at"] = g.dialect.Instant(rows[0].IssuedAt), g.dialect.Instant(rows[0].ExpiresAt)
		return values
	}
	all := make(session.Rows, len(rows))
	for i, row := range rows {
		all[i] = []any{row.ID.String(), row.Nonce, g.dialect.Instant(row.IssuedAt), g.dialect.Instant(row.ExpiresAt)}
	}
	values["rows"] = all
	return values
}

// list returns the value to bind for texts.
func (g *group) list(texts []string) any {
	if g.sql.List == nil {
		return texts
	}
	return g.sql.List(texts)
}

// presented returns the nonces of calls, each once and sorted: rows are locked
// in one order everywhere.
func presented(calls []*call) []string {
	nonces := make([]string, 0, len(calls))
	seen := make(map[string]bool, len(calls))
	for _, c := range calls {
		if !seen[c.nonce] {
			seen[c.nonce] = true
			nonces = append(nonces, c.nonce)
		}
	}
	sort.Strings(nonces)
	return nonces
}
