package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
)

// together makes calls at once.
func (t *trial) together() {
	late := t.nonce()
	t.clock.move(ttl)
	nonces := make([]string, 40)
	each(40, func(i int) { nonces[i] = t.nonce() })
	one, used, proof := nonces[1], nonces[2], uuid.NewString()

	t.atOnce("20 callers", one, 20, func(int) (string, error) { return one, dpopnonce.ErrUsed })
	t.accept("Consume", used, t.call(t.r.Consume, used))
	one = nonces[3]
	t.atOnce("40 callers", one, 40, func(i int) (string, error) {
		switch {
		case i%4 == 0:
			return nonces[i], nil
		case i%4 == 1:
			return one, dpopnonce.ErrUsed
		case i%8 == 2:
			return otherSpelling(nonces[i]), dpopnonce.ErrUnknown
		case i%8 == 3:
			return late, dpopnonce.ErrExpired
		case i%8 == 6:
			return used, dpopnonce.ErrUsed
		}
		return fmt.Sprint("unknown", i), dpopnonce.ErrUnknown
	})

	for i := 10; i < 40; i += 8 { // each i%8 == 2 but the first, which was used
		t.expect("40 callers, then Check of what another spelling was presented of", t.call(t.r.Check, nonces[i]), nil)
	}

	proofs := make([]error, 20)
	each(20, func(i int) { proofs[i] = t.spend(t.r, proof) })
	accepted, answered := 0, true
	for _, err := range proofs {
		if err == nil {
			accepted++
		} else {
			answered = t.expect("20 callers, Spend", err, dpopnonce.ErrReplayed) && answered
		}
	}
	if accepted > 1 || accepted == 0 && answered {
		t.wrongly("20 callers, Spend", fmt.Errorf("%d were accepted", accepted))
	}
}

// atOnce makes n calls, every second four of them Rotates. Of those that present
// shared, one is accepted.
func (t *trial) atOnce(step, shared string, n int, present func(int) (nonce string, want error)) {
	var mu sync.Mutex
	accepted, failed := map[string]int{}, false
	each(n, func(i int) {
		nonce, want := present(i)
		name, next := step+", Consume", ""
		var err error
		if i/4%2 == 0 {
			err = t.call(t.r.Consume, nonce)
		} else {
			name = step + ", Rotate"
			next, err = t.rotate(t.r, nonce)
		}
		ok := err == nil && nonce == shared || t.expect(name, err, want)
		if next != "" {
			t.expect(name+", then Check of its successor by the other pool", t.call(t.other.Check, next), nil)
		}
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			accepted[nonce]++
		}
		failed = failed || nonce == shared && !ok
	})
	for nonce, times := range accepted {
		t.accept(step, nonce, nil)
		if times > 1 {
			t.wrongly(step, fmt.Errorf("one nonce was accepted %d times", times))
		}
	}
	if accepted[shared] == 0 && !failed {
		t.wrongly(step, errors.New("no caller was accepted"))
	}
}

// each calls fn on n goroutines.
func each(n int, fn func(i int)) {
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { fn(i) })
	}
	done.Wait()
}

// afterwards comes when the connections of all before are closed.
func (t *trial) afterwards() {
	for _, nonce := range t.spent {
		err := t.call(t.other.Consume, nonce)
		if !t.sealed || !errors.Is(err, dpopnonce.ErrExpired) { // which comes first where a nonce is sealed
			t.expect("Consume of the other pool once connections are closed", err, dpopnonce.ErrUsed)
		}
	}
	gone := t.nonce()
	t.accept("Consume", gone, t.call(t.r.Consume, gone))
	t.clock.move(ttl)
	live := t.nonce()
	t.clock.move(time.Second)
	want := dpopnonce.ErrUnknown
	if t.sealed {
		t.clock.move(dpopnonce.Tolerance) // for which the row stays
		want, live = dpopnonce.ErrExpired, t.nonce()
	}
	var deleted int64
	err := t.do(func(ctx context.Context) (err error) { deleted, err = t.r.Sweep(ctx); return err })
	if t.expect("Sweep", err, nil) {
		t.expect("Sweep, then Check of a swept one by the other pool", t.call(t.other.Check, gone), want)
		if deleted < int64(len(t.spent)) {
			t.wrongly("Sweep", fmt.Errorf("%d rows are deleted, want %d", deleted, len(t.spent)))
		}
	}
	t.expect("Sweep, then Check of a live one by the other pool", t.call(t.other.Check, live), nil)
	t.spent = nil
}
