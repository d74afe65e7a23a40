package dialecttest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

var eventOutcomeCases = []testCase{
	{name: "shows each outcome of stored nonces", run: storedOutcomes},
	{name: "shows each outcome of sealed nonces", run: sealedOutcomes},
	{name: "shows each outcome of other operations", run: otherOutcomes},
	{name: "knows no age of others' nonces", run: othersAges},
	{name: "shows calls inside a transaction", run: eventsInTransaction},
}

// wantShows fails unless the only Event is of operation and says the rest.
func (e *events) wantShows(t *testing.T, operation, outcome string, age time.Duration, shared int) {
	t.Helper()
	got := e.one(t)
	if got.Operation != operation || got.Outcome != outcome || got.Age != age || got.Shared != shared ||
		got.Repeated != 0 || got.Err != nil || got.Rows != 0 || got.Duration < 0 {
		t.Errorf("%s: %+v, want %s, an age of %v and %d callers", operation, got, outcome, age, shared)
	}
}

// unknownAge is the Age of what says none.
const unknownAge = time.Duration(-1)

// presenting are the operations that judge a nonce.
var presenting = []struct {
	name string
	presenter
}{{"check", checking}, {"consume", consuming}, {"rotate", rotating}}

func storedOutcomes(t *testing.T, e *env) {
	shown := &events{}
	wantOutcomes(t, e, shown, e.repository(t, e.db, shown.option()), 1, 1)
}

func sealedOutcomes(t *testing.T, e *env) {
	shown := &events{}
	wantOutcomes(t, e, shown, e.sealed(t, shown.option()), 0, 0)
}

// wantOutcomes presents nonces to r. An Issue has issued callers in its
// statement, a rejection for the time of a nonce expired.
func wantOutcomes(t *testing.T, e *env, shown *events, r *dpopnonce.Repository, issued, expired int) {
	var nonce, printed string
	secrets := map[string]bool{}
	issue := func() {
		e.clock.Set(noon.Add(time.Second / 2))
		var err error
		nonce, err = r.Issue(ctx, time.Hour)
		wantIs(t, err, nil)
		secrets[nonce] = true
		shown.wantShows(t, "issue", "ok", unknownAge, issued)
		e.clock.Set(noon.Add(7*time.Second + time.Second/4))
	}
	for _, p := range presenting {
		other := 0 // callers in the statement of a rejection that needs none
		if p.name == "rotate" {
			other = issued
		}
		issue()
		for _, c := range []struct {
			nonce   string
			ttl     time.Duration
			outcome string
			age     time.Duration
			shared  int
		}{
			{nonce, time.Second - 1, "invalid", unknownAge, 0},
			{"", life, "missing", unknownAge, other},
			{"mal formed", life, "unknown", unknownAge, other},
			{"never-issued", life, "unknown", unknownAge, 1},
			{nonce, 5 * time.Second, "expired", 7 * time.Second, max(expired, other)},
			{nonce, life, "ok", 7 * time.Second, 1},
			{nonce, life, "used", 7 * time.Second, 1},
		} {
			if c.outcome == "used" && !p.spends {
				wantIs(t, r.Consume(ctx, nonce, life), nil)
				shown.take()
			}
			err := p.present(ctx, r, c.nonce, c.ttl)
			shown.mu.Lock()
			printed += fmt.Sprintf("%+v %#v %v\n", shown.all, shown.all, err)
			shown.mu.Unlock()
			shown.wantShows(t, p.name, c.outcome, c.age, c.shared)
		}
		issue()
		e.clock.Set(noon.Add(-time.Minute)) // another node's clock
		wantIs(t, p.present(ctx, r, nonce, life), nil)
		shown.wantShows(t, p.name, "ok", 0, 1)
	}
	wantHidden(t, printed, secrets)
}

func otherOutcomes(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, shown.option())
	_, err := r.Issue(ctx, 0)
	wantIs(t, err, dpopnonce.ErrTTL)
	shown.wantShows(t, "issue", "invalid", unknownAge, 0)
	for _, c := range []struct {
		nonce   string
		outcome string
		shared  int
	}{{"inserted", "ok", 1}, {"inserted", "duplicate", 1}, {"mal formed", "invalid", 0}} {
		_, _ = r.Insert(ctx, changeset(c.nonce, noon, noon.Add(time.Second)))
		shown.wantShows(t, "insert", c.outcome, unknownAge, c.shared)
	}
	for _, c := range []struct {
		id      string
		until   time.Time
		outcome string
		shared  int
	}{
		{"proof", noon.Add(life), "ok", 1}, {"proof", noon.Add(life), "replayed", 1},
		{"proof", noon, "expired", 0}, {"", noon, "invalid", 0},
	} {
		_ = r.Spend(ctx, c.id, c.until)
		shown.wantShows(t, "spend", c.outcome, unknownAge, c.shared)
	}
	e.storeExpired(t, 3)
	deleted, err := r.Sweep(ctx)
	wantIs(t, err, nil)
	if got := shown.one(t); got.Operation != "sweep" || got.Outcome != "ok" || got.Rows != 3 || deleted != 3 || got.Shared != 1 || got.Age != unknownAge {
		t.Errorf("%+v", got)
	}
}

// othersAges presents nonces that the library did not make, in forms that
// resemble its own.
func othersAges(t *testing.T, e *env) {
	shown := &events{}
	r := e.repository(t, e.db, shown.option())
	ours := e.issue(t, life)
	for _, nonce := range []string{
		"inserted", ours[:43], ours + "x", ours[:40] + "~~~~", "z" + ours[1:], stored("proof"),
	} {
		e.store(t, nonce, noon, noon.Add(life))
		for _, outcome := range []string{"ok", "used"} {
			_ = r.Consume(ctx, nonce, life)
			shown.wantShows(t, "consume", outcome, unknownAge, 1)
		}
	}
	wantIs(t, r.Consume(ctx, ours, life), nil)
	shown.wantShows(t, "consume", "ok", 0, 1)
}

func eventsInTransaction(t *testing.T, e *env) {
	shown := &events{}
	type key struct{}
	var values []any
	r := e.repository(t, e.db, dpopnonce.WithObserver(func(ctx context.Context, event dpopnonce.Event) {
		values = append(values, ctx.Value(key{}))
		shown.mu.Lock()
		defer shown.mu.Unlock()
		shown.all = append(shown.all, event)
	}))
	nonce := e.issue(t, life)
	tx := e.db.Begin()
	wantIs(t, tx.Error, nil)
	defer tx.Rollback()
	wantIs(t, r.WithTx(tx).Consume(context.WithValue(ctx, key{}, "own"), nonce, life), nil)
	shown.wantShows(t, "consume", "ok", 0, 1)
	if len(values) != 1 || values[0] != "own" {
		t.Errorf("the observer's context has %v", values)
	}
}
