package dpopnonce

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/attesto/dpopnonce/internal/session"
	"github.com/google/uuid"
)

// An entry is what accepts a sealed nonce or a proof: a row that is inserted
// used, by exactly one caller.
type entry struct {
	row   DPoPNonce
	taken error                     // the outcome if the row is there
	judge func(now time.Time) error // nil while it may be accepted
}

// accept makes the call of an entry. However long its INSERT took, and whatever
// was swept meanwhile, what is out of time by then is not accepted; its row
// stays, which is harmless.
func (r *Repository) accept(c *call) error {
	queue := r.queues.accept
	if queue != nil && r.presenters.has(c.nonce) { // a transaction may hold its row
		queue = nil
	}
	err := queue.Do(c, func(c *call) error {
		err := r.oneByOne(c, r.session.Do, r.acceptAlone)
		if err == nil && !r.isProven() {
			err = c.run(r.session.Do, r.prove)
		}
		return err
	})
	if err == nil {
		err = c.entry.judge(r.now())
	}
	return err
}

func (r *Repository) acceptAlone(conn session.Conn, c *call) (outcome, err error) {
	now := r.now()
	if outcome = c.entry.judge(now); outcome != nil {
		return outcome, nil
	}
	row, err := r.used(c, &now)
	if err != nil {
		return nil, err
	}
	c.seen.sends(1)
	inserted, err := r.insert(conn, r.sql.Insert, &row, !r.sql.NonceIDs)
	if err == nil && !inserted {
		outcome = c.entry.taken
	}
	return outcome, err
}

// isProven reports whether the table accepts nothing twice. ON CONFLICT fails
// without a unique index on nonce alone; other databases have to show it.
func (r *Repository) isProven() bool { return !r.sql.NonceIDs || r.proven.Load() }

// prove sends the row of an acceptance once more, with other instants, before the
// first acceptance counts: the table has to refuse it. One that is partitioned by
// an instant does not, since each of its unique keys has that instant in it.
func (r *Repository) prove(conn session.Conn, c *call) (outcome, err error) {
	earlier := r.now().Add(-time.Second)
	row, err := r.used(c, &earlier)
	if err != nil {
		return nil, err
	}
	row.IssuedAt, row.ExpiresAt = row.IssuedAt.Add(-time.Second), row.ExpiresAt.Add(-time.Second)
	inserted, err := r.insert(conn, r.sql.Insert, &row, false)
	if err == nil && inserted {
		err = r.noUniqueIndex()
	}
	if err == nil {
		r.proven.Store(true)
	}
	return nil, err
}

// used returns the row of an entry.
func (r *Repository) used(c *call, now *time.Time) (row DPoPNonce, err error) {
	row = c.entry.row
	row.UsedAt = now
	sealed := !row.IssuedAt.IsZero()
	if !sealed {
		row.IssuedAt = *now
	}
	if !r.sql.NonceIDs {
		row.ID, err = uuid.NewV7()
		return row, err
	}
	digest := sha256.Sum256([]byte(row.Nonce))
	row.ID = uuid.UUID(digest[:16])
	if sealed { // in order of time, so that new rows lie together in a large table
		var seconds [8]byte
		binary.BigEndian.PutUint64(seconds[:], uint64(row.IssuedAt.Unix()))
		copy(row.ID[:6], seconds[2:])
	}
	row.ID[6] = row.ID[6]&0x0f | 0x80 // version 8, of the application's own making
	row.ID[8] = row.ID[8]&0x1f | 0xa0 // MariaDB's uuid type refuses 0x80 here
	return row, nil
}
