package dpopnonce

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
)

// presenters are the callers of this process that present a nonce. Those of one
// nonce go to the database one after the other: while a transaction holds its
// row, they have one connection, and not all of the pool's.
type presenters struct {
	mu      sync.Mutex
	seed    maphash.Seed
	waiting map[uint64][]chan struct{} // by the hash of a nonce that is presented
}

func newPresenters() *presenters {
	return &presenters{seed: maphash.MakeSeed(), waiting: map[uint64][]chan struct{}{}}
}

// has reports whether nonce is presented now.
func (p *presenters) has(nonce string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, has := p.waiting[maphash.String(p.seed, nonce)]
	return has
}

// enter waits until no other caller presents nonce. Leave it with leave.
func (p *presenters) enter(ctx context.Context, nonce string) error {
	of, done := maphash.String(p.seed, nonce), ctx.Done()
	p.mu.Lock()
	all, has := p.waiting[of]
	if !has {
		p.waiting[of] = nil
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting[of] = append(all, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-done:
	}
	p.mu.Lock()
	at := slices.Index(p.waiting[of], turn)
	if at >= 0 {
		p.waiting[of] = slices.Delete(p.waiting[of], at, at+1)
	}
	p.mu.Unlock()
	if at < 0 { // the turn came at the same moment
		p.leave(nonce)
	}
	return fmt.Errorf("waiting for another caller with this nonce: %w", ctx.Err())
}

// leave lets the next caller that presents nonce in.
func (p *presenters) leave(nonce string) {
	of := maphash.String(p.seed, nonce)
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.waiting[of]
	if len(all) == 0 {
		delete(p.waiting, of)
		return
	}
	p.waiting[of] = all[1:]
	close(all[0])
}

// oneByOne makes the call of a nonce once no other caller presents it. One in a
// transaction does not wait: the other may be waiting for that transaction.
func (r *Repository) oneByOne(c *call, do runner, s step) error {
	if r.session.InTransaction {
		return c.run(do, s)
	}
	if err := r.presenters.enter(c.Context, c.nonce); err != nil {
		return err
	}
	defer r.presenters.leave(c.nonce)
	return c.run(do, s)
}
