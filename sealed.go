package dpopnonce

import (
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce/internal/seal"
	"github.com/attesto/dpopnonce/internal/session"
)

// WithSealer makes the repository issue sealed nonces: Issue and the successors
// of Rotate store nothing. A sealed nonce is accepted once, by the INSERT of a
// used row, which stays for [Tolerance] past its end; one that is forged or
// expired is refused without a statement. Stored nonces are accepted as before.
//
// Sealed nonces are good at the repositories of one table name, purpose and key,
// on one database. What loses rows that have not expired, as a restore or the
// failover to an asynchronous standby does, makes their nonces acceptable again:
// replace all keys then, or wait for a ttl. See docs/guarantees.md.
//
// In a fleet, give all nodes [WithOpener] first, and then WithSealer; retreat in
// reverse. The Sealer's own clock is not used. A nil Sealer, and one that NewSealer
// did not make, are errors.
func WithSealer(s *Sealer) Option { return withSealer("WithSealer", s, true) }

// WithOpener makes the repository accept sealed nonces beside the stored ones
// that it issues: see [WithSealer].
func WithOpener(s *Sealer) Option { return withSealer("WithOpener", s, false) }

func withSealer(name string, s *Sealer, seals bool) Option {
	return func(r *Repository) error {
		switch {
		case s == nil:
			return errors.New(name + ": nil Sealer")
		case s.made() != nil:
			return fmt.Errorf("%s: %w", name, s.made())
		case r.sealer != nil && r.seals != seals:
			return errors.New("WithSealer and WithOpener together")
		}
		r.sealer, r.seals = s, seals
		return nil
	}
}

// unseal gives the call of a sealed nonce its entry. The error is its rejection,
// where no statement is needed to judge.
func (r *Repository) unseal(c *call) error {
	if r.sealer == nil || !seal.HasForm(c.nonce) {
		return nil
	}
	issued, expires, opened := r.sealer.open(r.table.String(), c.nonce)
	if !opened {
		return ErrUnknown
	}
	c.seen.opens(issued)
	c.entry = &entry{
		row:   DPoPNonce{Nonce: c.nonce, IssuedAt: issued, ExpiresAt: expires.Add(Tolerance)},
		taken: ErrUsed,
		judge: func(now time.Time) error { return judge(issued, expires, now, c.ttl) },
	}
	return c.entry.judge(r.now())
}

// seal gives a call its new nonce.
func (r *Repository) seal(c *call) error {
	issued, _, err := lifetime(r.clock(), c.ttl)
	if err == nil {
		c.next, err = r.sealer.seal(r.table.String(), issued, c.ttl)
	}
	return err
}

// checkSealed judges a sealed nonce, which is used where its row is in the table.
func (r *Repository) checkSealed(conn session.Conn, c *call) (outcome, err error) {
	c.seen.sends(1)
	_, found, err := r.look(conn, c.nonce, r.now(), c.ttl)
	if found {
		return ErrUsed, err
	}
	return c.entry.judge(r.now()), err
}
