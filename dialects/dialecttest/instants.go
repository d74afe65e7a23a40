package dialecttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// instantCases are about rows whose instants another program wrote, in a form of
// its own.
var instantCases = []testCase{
	{name: "reads what another program wrote", run: readsForms, needs: otherForms},
	{name: "reads it in shared calls", run: readsFormsShared, needs: otherForms | groupCommit},
	{name: "accepts no instant that it cannot read", run: unreadable, needs: otherForms},
	{name: "sweeps what another program wrote, once past", run: sweepsForms, needs: otherForms},
	{name: "sweeps what it cannot read, days later", run: sweepsUnreadable, needs: otherForms},
	{name: "finds rows by an index", run: usesIndexes, needs: queryPlans},
}

// A writer writes instants in one form.
type writer struct {
	layout string
	zone   *time.Location
}

// text floors t to what the form can hold, after adding a fraction of a second
// that changes nothing.
func (w writer) text(t time.Time) string {
	if strings.Contains(w.layout, ".9") {
		t = t.Add(time.Second - 1)
	}
	return t.In(w.zone).Format(w.layout)
}

// writers are the forms in which other programs write to the database.
func (e *env) writers() (all []writer) {
	zones := []*time.Location{time.UTC, time.FixedZone("IST", 5*3600+1800), time.FixedZone("SST", -11*3600)}
	for _, layout := range e.forms {
		for i, zone := range zones {
			if i == 0 || strings.Contains(layout, "07") {
				all = append(all, writer{layout, zone})
			}
		}
	}
	return all
}

// storeAs stores a nonce and writes its instants anew.
func (e *env) storeAs(t *testing.T, w writer, nonce string, issued, expires time.Time) {
	t.Helper()
	e.store(t, nonce, issued, expires)
	e.overwrite(t, nonce, "issued_at", w.text(issued))
	e.overwrite(t, nonce, "expires_at", w.text(expires))
}

func (e *env) overwrite(t *testing.T, nonce, column, text string) {
	t.Helper()
	wantIs(t, e.exec("UPDATE ? SET "+column+" = ? WHERE nonce = ?", clause.Table{Name: e.table}, text, nonce), nil)
}

func readsForms(t *testing.T, e *env) {
	for i, w := range e.writers() {
		t.Log(w.text(noon))
		nonces := make([]string, 3)
		for n := range nonces { // in the first row both are the other program's
			nonces[n] = fmt.Sprintf("form-%d-%d", i, n)
			e.store(t, nonces[n], noon, noon.Add(time.Minute))
			if n != 1 {
				e.overwrite(t, nonces[n], "issued_at", w.text(noon))
			}
			if n != 2 {
				e.overwrite(t, nonces[n], "expires_at", w.text(noon.Add(time.Minute)))
			}
		}
		judged := func(at time.Time, ttl time.Duration, want error) {
			t.Helper()
			e.clock.Set(at)
			for _, nonce := range nonces {
				wantIs(t, e.Check(ctx, nonce, ttl), want)
				if want != nil {
					wantIs(t, e.Consume(ctx, nonce, ttl), want)
					wantIs(t, rotate(ctx, e.Repository, nonce, ttl), want)
				}
			}
		}
		judged(noon.Add(time.Minute), time.Hour, dpopnonce.ErrExpired)
		judged(noon.Add(24*time.Hour), 48*time.Hour, dpopnonce.ErrExpired)
		judged(noon.Add(time.Minute-1), time.Hour, nil)
		judged(noon.Add(31*time.Second), 30*time.Second, dpopnonce.ErrExpired)
		judged(noon.Add(31*time.Second-1), 30*time.Second, nil)
		judged(noon.Add(-dpopnonce.Tolerance-1), time.Hour, dpopnonce.ErrExpired)
		judged(noon.Add(-dpopnonce.Tolerance), time.Hour, nil)

		wantIs(t, e.consume(nonces[0]), nil)
		wantIs(t, rotate(ctx, e.Repository, nonces[1], time.Hour), nil)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error { return e.WithTx(tx).Consume(ctx, nonces[2], time.Hour) }), nil)
		for _, nonce := range nonces {
			wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
			wantIs(t, e.check(nonce), dpopnonce.ErrUsed)
		}
	}
}

func readsFormsShared(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	all := e.writers()
	const each = 64
	present := func(i int) error {
		p := []presenter{consuming, rotating}[i%2]
		return p.present(ctx, r, fmt.Sprint("form-", i), time.Hour)
	}
	for i := 0; i < each; i++ {
		e.storeAs(t, all[i%len(all)], fmt.Sprint("form-", i), noon, noon.Add(time.Minute))
	}
	e.clock.Set(noon.Add(time.Minute))
	wantAll(t, race(each, present), dpopnonce.ErrExpired)
	e.clock.Set(noon.Add(time.Minute - 1))
	wantAll(t, race(each, present), nil)
	wantAll(t, race(each, present), dpopnonce.ErrUsed)
}

func unreadable(t *testing.T, e *env) {
	for column, texts := range map[string][]string{"issued_at": e.neverIssued, "expires_at": e.neverLive} {
		for i, text := range texts {
			t.Log(column, text)
			nonce := fmt.Sprintf("%s-%d", column, i)
			e.store(t, nonce, noon, noon.Add(time.Hour))
			e.overwrite(t, nonce, column, text)
			wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
				for _, p := range []presenter{checking, consuming, rotating} {
					wantIs(t, p.present(ctx, e.WithTx(tx), nonce, longTTL), dpopnonce.ErrExpired)
				}
				return nil
			}), nil)
			for _, p := range []presenter{checking, consuming, rotating} {
				wantIs(t, p.present(ctx, e.Repository, nonce, longTTL), dpopnonce.ErrExpired)
			}
		}
	}
}

// sweepsForms allows a sweep to find a row late: by its own clock if its zone is
// in the east, and by a minute if it has no seconds.
func sweepsForms(t *testing.T, e *env) {
	east := 0
	for i, w := range e.writers() {
		e.storeAs(t, w, fmt.Sprint("form-", i), noon, noon.Add(time.Minute))
		if _, offset := noon.In(w.zone).Zone(); offset > 0 {
			east++
		}
	}
	e.clock.Set(noon.Add(time.Minute))
	if deleted, err := e.Sweep(ctx); deleted != 0 {
		t.Fatalf("deleted %d rows that are not past, %v", deleted, err)
	}
	e.clock.Set(noon.Add(2 * time.Minute))
	_, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	if left := e.rows(t); left > east {
		t.Fatalf("%d rows are left, want at most %d", left, east)
	}
	e.clock.Set(noon.Add(15 * time.Hour))
	_, err = e.Sweep(ctx)
	wantIs(t, err, nil)
	if left := e.rows(t); left > 0 {
		t.Fatalf("%d rows are left", left)
	}
}

func sweepsUnreadable(t *testing.T, e *env) {
	for i, text := range e.neverLive {
		e.store(t, fmt.Sprint(i), noon, noon.Add(time.Hour))
		e.overwrite(t, fmt.Sprint(i), "expires_at", text)
	}
	e.store(t, "live", noon, noon.Add(longTTL))
	for _, after := range []time.Duration{0, 3 * longTTL} {
		e.clock.Set(noon.Add(after))
		_, err := e.Sweep(ctx)
		wantIs(t, err, nil)
		for i, text := range e.neverLive {
			if left := e.count(t, "nonce = ?", fmt.Sprint(i)); strings.HasPrefix(text, "2026-03-29") && (left > 0) != (after == 0) {
				t.Errorf("%d rows with %q are left after %v", left, text, after)
			}
		}
	}
	if e.count(t, "nonce = ?", "live") > 0 {
		t.Error("a row is left")
	}
}

// usesIndexes asks the database how it finds the rows of each statement.
func usesIndexes(t *testing.T, e *env) {
	type sent struct {
		sql    string
		values []any
	}
	var all []sent
	e.store(t, "own", noon, noon.Add(time.Minute))
	e.storeAs(t, e.writers()[0], "foreign", noon, noon.Add(time.Minute))
	watching := true
	watch(t, e.db, func(tx *gorm.DB) {
		if watching && !strings.HasPrefix(sqlOf(tx), "INSERT") {
			all = append(all, sent{sqlOf(tx), append([]any(nil), tx.Statement.Vars...)})
		}
	})
	for _, nonce := range []string{"own", "foreign"} {
		for _, want := range []error{nil, dpopnonce.ErrUsed} {
			wantIs(t, checkAndConsume(ctx, e.Repository, nonce, time.Hour), want)
		}
	}
	_, err := e.SweepLag(ctx)
	wantIs(t, err, nil)
	_, err = e.Sweep(ctx)
	wantIs(t, err, nil)
	watching = false
	for _, s := range all {
		rows, err := e.db.Raw(e.explain+s.sql, s.values...).Rows()
		wantIs(t, err, nil)
		plan, searches := "", 0
		for rows.Next() {
			var id, parent, unused int
			var detail string
			wantIs(t, rows.Scan(&id, &parent, &unused, &detail), nil)
			if strings.HasPrefix(detail, "SEARCH") {
				searches++
			}
			plan += "\n" + detail
		}
		wantIs(t, rows.Close(), nil)
		if searches == 0 || strings.Contains(plan, "SCAN "+e.table) || strings.Contains(plan, "TEMP") ||
			strings.HasPrefix(s.sql, "DELETE") && !strings.Contains(plan, e.table+"_expires_at_index") {
			t.Errorf("%s%s", s.sql, plan)
		}
	}
	if len(all) < 10 {
		t.Errorf("saw %d statements", len(all))
	}
}
