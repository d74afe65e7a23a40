package dialecttest

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata" // for Berlin, if the machine has no zones

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// freshnessCases are about the rule of time: a nonce is fresh while
// expires_at > now and now - ttl <= issued_at <= now + Tolerance.
var freshnessCases = []testCase{
	{name: "rejects from expires_at on", run: expiresAt},
	{name: "rejects a nonce older than the ttl", run: olderThanTTL},
	{name: "rejects past expires_at within the ttl", run: expiredWithinTTL},
	{name: "rejects a nonce issued beyond Tolerance ahead", run: aheadOfTolerance},
	{name: "floors stored fractions of a second", run: floorsFractions, needs: storedFractions},
	{name: "compares instants in any time zone", run: timeZones},
	{name: "rejects what expires during the call", run: expiresDuringCall},
	{name: "rejects what expires during a shared call", run: expiresDuringSharedCall, needs: groupCommit},
}

func expiresAt(t *testing.T, e *env) {
	e.store(t, "last", noon, noon.Add(10*time.Second))
	e.store(t, "past", noon, noon.Add(10*time.Second))
	e.clock.Set(noon.Add(10 * time.Second))
	wantIs(t, e.consume("last"), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(10*time.Second - 1))
	wantIs(t, e.consume("last"), nil)
	e.clock.Set(noon.Add(11 * time.Second))
	wantIs(t, e.consume("past"), dpopnonce.ErrExpired)
}

func olderThanTTL(t *testing.T, e *env) {
	e.store(t, "old", noon, noon.Add(time.Hour))
	e.clock.Set(noon.Add(11 * time.Second))
	wantIs(t, e.Consume(ctx, "old", 10*time.Second), dpopnonce.ErrExpired)
	wantIs(t, e.Consume(ctx, "old", 11*time.Second-1), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(11*time.Second - 1))
	wantIs(t, e.Consume(ctx, "old", 10*time.Second), nil)
}

func expiredWithinTTL(t *testing.T, e *env) {
	e.store(t, "short", noon, noon.Add(time.Second))
	e.clock.Set(noon.Add(2 * time.Second))
	wantIs(t, e.Consume(ctx, "short", time.Hour), dpopnonce.ErrExpired)
}

// aheadOfTolerance sets the clock back: a nonce from before is accepted again
// once its issued_at is at most Tolerance ahead.
func aheadOfTolerance(t *testing.T, e *env) {
	nonce, rotated := e.issue(t, time.Hour), e.issue(t, time.Hour)
	for _, before := range []time.Duration{time.Hour, 1 + time.Second, 1} {
		e.clock.Set(noon.Add(-dpopnonce.Tolerance - before))
		wantIs(t, e.check(nonce), dpopnonce.ErrExpired)
		wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
		next, err := e.Rotate(ctx, rotated, time.Hour)
		wantIs(t, err, dpopnonce.ErrExpired)
		wantIs(t, e.consume(next), nil)
	}
	e.clock.Set(noon.Add(-dpopnonce.Tolerance))
	wantIs(t, e.check(nonce), nil)
	wantIs(t, e.consume(nonce), nil)
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	_, err := e.Rotate(ctx, rotated, time.Hour)
	wantIs(t, err, nil)
	e.clock.Set(noon.Add(-time.Hour))
	wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
	wantIs(t, e.check(nonce), dpopnonce.ErrUsed)
}

// floorsFractions stores instants with a fraction, as another program may.
func floorsFractions(t *testing.T, e *env) {
	e.store(t, "expires", noon, noon.Add(time.Minute))
	e.store(t, "issued", noon, noon.Add(time.Minute))
	set := func(column string, instant time.Time, nonce string) {
		t.Helper()
		wantIs(t, e.exec("UPDATE ? SET "+column+" = ? WHERE nonce = ?", clause.Table{Name: e.table},
			instant.Format(e.fraction), nonce), nil)
	}
	const quarter = time.Second / 4
	set("expires_at", noon.Add(10*time.Second+quarter), "expires")
	e.clock.Set(noon.Add(10*time.Second + 9*time.Second/10))
	wantIs(t, e.check("expires"), dpopnonce.ErrExpired)
	wantIs(t, e.consume("expires"), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(10*time.Second - 1))
	wantIs(t, e.check("expires"), nil)
	wantIs(t, e.consume("expires"), nil)

	set("issued_at", noon.Add(quarter), "issued")
	e.clock.Set(noon.Add(-dpopnonce.Tolerance - 1))
	wantIs(t, e.check("issued"), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(-dpopnonce.Tolerance))
	wantIs(t, e.check("issued"), nil)
	e.clock.Set(noon.Add(11 * time.Second))
	wantIs(t, e.Check(ctx, "issued", 10*time.Second), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(11*time.Second - 1))
	wantIs(t, e.Check(ctx, "issued", 10*time.Second), nil)
	wantIs(t, e.Consume(ctx, "issued", 10*time.Second), nil)
}

// timeZones tries clocks in several zones, in the hour in which Berlin's clock
// goes back.
func timeZones(t *testing.T, e *env) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 10, 25, 0, 59, 30, 0, time.UTC) // it goes back at 01:00 UTC
	for i, zone := range []*time.Location{
		time.FixedZone("", 14*3600), time.FixedZone("", -11*3600), time.FixedZone("", 5*3600+1800), berlin,
	} {
		nonce, other := fmt.Sprint("zone-", i), fmt.Sprint("other-", i)
		e.clock.Set(start.In(zone))
		e.store(t, nonce, start, start.Add(time.Minute))
		e.store(t, other, start.In(zone), start.Add(time.Minute).In(zone))
		e.clock.Set(start.Add(time.Minute).In(zone))
		wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
		wantIs(t, e.consume(other), dpopnonce.ErrExpired)
		e.clock.Set(start.Add(59 * time.Second).In(zone))
		wantIs(t, e.Consume(ctx, nonce, 58*time.Second), dpopnonce.ErrExpired)
		wantIs(t, e.Check(ctx, nonce, 59*time.Second), nil)
		wantIs(t, e.Consume(ctx, nonce, 59*time.Second), nil)
		wantIs(t, e.consume(other), nil)
	}
}

// expiresDuringCall moves the clock while a statement is under way, as if the
// statement had waited for a lock. A nonce that is still fresh then is accepted.
func expiresDuringCall(t *testing.T, e *env) {
	var done time.Time
	watch(t, e.db, func(*gorm.DB) {
		if !done.IsZero() {
			e.clock.Set(done)
		}
	})
	for _, p := range []presenter{checking, consuming, rotating} {
		for life, want := range map[time.Duration]error{time.Minute: dpopnonce.ErrExpired, time.Minute + time.Second: nil} {
			done = time.Time{}
			e.clock.Set(noon)
			alone, inside := e.issue(t, life), e.issue(t, life)
			done = noon.Add(time.Minute)
			wantIs(t, p.present(ctx, e.Repository, alone, time.Hour), want)
			e.clock.Set(noon)
			wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
				wantIs(t, p.present(ctx, e.WithTx(tx), inside, time.Hour), want)
				return nil
			}), nil)
		}
	}
}

func expiresDuringSharedCall(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	const each = 64
	nonces := e.issueMany(t, 2*each, time.Minute)
	watch(t, e.db, func(*gorm.DB) { e.clock.Set(noon.Add(time.Minute)) })
	for i, p := range []presenter{consuming, rotating} {
		e.clock.Set(noon)
		wantAll(t, race(each, func(n int) error {
			return p.present(ctx, r, nonces[i*each+n], time.Hour)
		}), dpopnonce.ErrExpired)
	}
}
