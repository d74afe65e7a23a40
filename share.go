package dpopnonce

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

// groups are the queues of a repository with group commit.
type groups struct {
	issue, consume, rotate group
}

func newGroups(r *Repository) *groups {
	of := func(share func(context.Context, []*call) error) group {
		if r.statements.serial {
			return group{share: share, maxPlain: 1, maxShared: 1}
		}
		return group{share: share, maxPlain: groupPlain, maxShared: groupShared}
	}
	return &groups{issue: of(r.shareIssue), consume: of(r.shareConsume), rotate: of(r.shareRotate)}
}

// errEachAlone is the outcome of a shared statement that left nothing behind:
// each caller has to run the plain one.
var errEachAlone = errors.New("each caller alone")

func (r *Repository) shareIssue(ctx context.Context, calls []*call) error {
	p, err := r.successors(calls)
	if err != nil {
		return err
	}
	insert := r.statements.issueAll
	if insert.absent() {
		insert = r.statements.insertAll
	}
	err = r.run(ctx, "issue", func(db *gorm.DB) error { return r.insertAll(ctx, db, insert, &p) })
	if err == nil {
		hand(calls, p.nexts)
	}
	return err
}

func (r *Repository) shareConsume(ctx context.Context, calls []*call) error {
	p := r.presented(calls)
	verdicts, err := r.spendAll(ctx, "consume", r.statements.consumeAll, &p)
	if err == nil {
		settle(calls, verdicts)
	}
	return err
}

func (r *Repository) shareRotate(ctx context.Context, calls []*call) error {
	p, err := r.successors(calls)
	if err != nil {
		return err
	}
	asked := r.presented(calls)
	p.nonces, p.now = asked.nonces, asked.now
	verdicts, err := r.spendAll(ctx, "rotate", r.statements.rotateAll, &p)
	if err != nil {
		return err
	}
	settle(calls, verdicts)
	if verdicts[allIssued] == fmt.Sprint(len(calls)) {
		hand(calls, p.nexts)
	} // else one is taken, and each caller issues another
	return nil
}

const (
	accepted  = "accepted"
	allIssued = "" // no nonce: the count of successors stands under it
)

// spendAll consumes p.nonces, and inserts p.nexts if there are any, all in one
// commit. It returns, by nonce, accepted, used, expired, or "" if it is to be
// asked for alone, and nothing for one that is unknown.
func (r *Repository) spendAll(ctx context.Context, call string, one statement, p *params) (verdicts map[string]string, err error) {
	if !r.statements.rotateAll.absent() {
		var spent map[string]string
		err = r.run(ctx, call, func(db *gorm.DB) (err error) {
			spent, err = r.queryPairs(ctx, db, one, p)
			return err
		})
		if err != nil {
			return nil, err
		}
		err = r.run(ctx, call, func(db *gorm.DB) (err error) {
			verdicts, err = r.reasons(ctx, db, p, spent)
			return err
		})
		if err != nil { // what was spent is certain, and the others ask alone
			verdicts = make(map[string]string, len(p.nonces)+1)
			for _, nonce := range p.nonces {
				verdicts[nonce] = ""
			}
			accept(verdicts, spent)
		}
		return verdicts, nil
	}
	err = r.runAtomically(ctx, call, func(db *gorm.DB) error {
		if len(p.nexts) > 0 {
			if err := r.insertAll(ctx, db, r.statements.insertAll, p); err != nil {
				return err
			}
		}
		spent, err := r.queryPairs(ctx, db, r.statements.consumeAll, p)
		if err != nil {
			return err
		}
		if verdicts, err = r.reasons(ctx, db, p, spent); err != nil {
			return err
		}
		verdicts[allIssued] = fmt.Sprint(len(p.nexts))
		return r.updateAll(ctx, db, p, spent) // last: see runAtomically
	})
	return verdicts, err
}

// updateAll consumes the nonces whose rows are locked, where UPDATE does not
// return rows: all of them must be updated.
func (r *Repository) updateAll(ctx context.Context, db *gorm.DB, p *params, ids map[string]string) error {
	if r.statements.updateAll.absent() || len(ids) == 0 {
		return nil
	}
	p.locked = nil
	for _, nonce := range p.nonces {
		if id, ok := ids[nonce]; ok {
			p.locked = append(p.locked, id)
		}
	}
	rows, err := r.exec(ctx, db, r.statements.updateAll, p)
	if err == nil && rows != int64(len(p.locked)) {
		err = errEachAlone
	}
	return err
}

// reasons adds to the nonces that were spent the reasons of those that were
// not.
func (r *Repository) reasons(ctx context.Context, db *gorm.DB, p *params, spent map[string]string) (map[string]string, error) {
	verdicts := map[string]string{}
	for _, nonce := range p.nonces {
		if _, ok := spent[nonce]; !ok {
			var err error
			if verdicts, err = r.queryPairs(ctx, db, r.statements.reasonAll, p); err != nil {
				return nil, err
			}
			break
		}
	}
	accept(verdicts, spent)
	return verdicts, nil
}

// accept adds the nonces that were spent, and the count of successors.
func accept(verdicts, spent map[string]string) {
	for nonce, value := range spent {
		verdicts[nonce] = accepted
		if nonce == allIssued {
			verdicts[nonce] = value
		}
	}
}

// insertAll inserts all of p.nexts or none.
func (r *Repository) insertAll(ctx context.Context, db *gorm.DB, insert statement, p *params) error {
	rows, err := r.exec(ctx, db, insert, p)
	switch {
	case err != nil && r.dialect.Fault(err) == dialects.Duplicate:
		return errEachAlone
	case err == nil && rows != int64(len(p.nexts)):
		return errEachAlone
	}
	return err
}

// settle gives every call its verdict. Of those who present the same nonce one
// is accepted, one that has not given up if there is such.
func settle(calls []*call, verdicts map[string]string) {
	winners := make(map[string]*call, len(calls))
	for _, c := range calls {
		if w := winners[c.nonce]; w == nil || w.ctx.Err() != nil && c.ctx.Err() == nil {
			winners[c.nonce] = c
		}
	}
	for _, c := range calls {
		switch verdict, found := verdicts[c.nonce]; {
		case !found:
			c.rejection = ErrUnknown
		case verdict == accepted && winners[c.nonce] == c:
			c.rejection = nil
		case verdict == accepted, verdict == "used":
			c.rejection = ErrUsed
		case verdict == "expired":
			c.rejection = ErrExpired
		default:
			c.alone = true
		}
	}
}

// hand gives every call its new nonce.
func hand(calls []*call, nexts []string) {
	for i, c := range calls {
		c.next = nexts[i]
	}
}

// presented are the nonces of calls, each once and sorted: rows are locked in
// one order everywhere.
func (r *Repository) presented(calls []*call) params {
	p := params{now: r.now(), ttl: calls[0].ttl, nonces: make([]string, 0, len(calls))}
	seen := make(map[string]bool, len(calls))
	for _, c := range calls {
		if !seen[c.nonce] {
			seen[c.nonce] = true
			p.nonces = append(p.nonces, c.nonce)
		}
	}
	sort.Strings(p.nonces)
	return p
}

// successors are a new nonce for every call.
func (r *Repository) successors(calls []*call) (p params, err error) {
	clock := r.clock()
	p = params{ttl: calls[0].ttl, ids: make([]uuid.UUID, len(calls)), nexts: make([]string, len(calls))}
	p.issuedAt = wholeSecond(clock)
	p.expiresAt = p.issuedAt.Add(p.ttl)
	for i := range calls {
		if p.nexts[i], err = newNonce(clock); err != nil {
			return p, err
		}
		if p.ids[i], err = uuid.NewV7(); err != nil {
			return p, err
		}
	}
	return p, nil
}

// queryPairs runs s on db and returns its rows, the second column by the first.
func (r *Repository) queryPairs(ctx context.Context, db *gorm.DB, s statement, p *params) (map[string]string, error) {
	rows, err := r.query(ctx, db, s, p)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pairs := make(map[string]string, len(p.nonces))
	for rows.Next() {
		var first, second string
		if err := rows.Scan(&first, &second); err != nil {
			return nil, err
		}
		pairs[first] = second
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return pairs, rows.Close()
}
