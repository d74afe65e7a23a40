package dialecttest

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var sweepLagCases = []testCase{
	{name: "is that of the row that expired first", run: lagOfFirst},
	{name: "is 0 until the second has passed", run: lagBegins},
	{name: "reads what another program wrote", run: lagOfForms, needs: otherForms},
	{name: "survives instants out of range", run: lagOfUnreadable, needs: otherForms},
	{name: "is one look into the index", run: lagByIndex, needs: explains},
	{name: "works in a transaction, fails without one", run: lagInTransaction},
}

func wantLag(t *testing.T, r *dpopnonce.Repository, want time.Duration) {
	t.Helper()
	got, err := r.SweepLag(ctx)
	wantIs(t, err, nil)
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func lagOfFirst(t *testing.T, e *env) {
	wantLag(t, e.Repository, 0)
	e.store(t, "live", noon, noon.Add(time.Hour))
	wantLag(t, e.Repository, 0)
	e.store(t, "later", noon.Add(-time.Hour), noon.Add(-time.Minute))
	e.store(t, "first", noon.Add(-time.Hour), noon.Add(-59*time.Minute))
	e.store(t, "second", noon.Add(-time.Hour), noon.Add(-58*time.Minute))
	sent := statements(t, e.db)
	wantLag(t, e.Repository, 59*time.Minute)
	if all := sent(); len(all) != 1 {
		t.Errorf("sent %q", all)
	}
	e.clock.Set(noon.AddDate(2, 0, 0))
	wantLag(t, e.Repository, 731*24*time.Hour+59*time.Minute)
	_, err := e.Sweep(ctx)
	wantIs(t, err, nil)
	wantLag(t, e.Repository, 0)
}

func lagBegins(t *testing.T, e *env) {
	e.store(t, "nonce", noon, noon.Add(life))
	for after, want := range map[time.Duration]time.Duration{
		0: 0, time.Second - 1: 0, time.Second: time.Second, 2*time.Second - 1: time.Second, time.Hour: time.Hour,
	} {
		e.clock.Set(noon.Add(life + after).In(time.FixedZone("IST", 5*3600+1800)))
		wantLag(t, e.Repository, want)
	}
}

// lagOfForms looks two days later: until then, instants in other zones may not be
// found.
func lagOfForms(t *testing.T, e *env) {
	for _, w := range e.writers() {
		e.store(t, "form", noon, noon.Add(life))
		wantIs(t, e.exec("UPDATE "+e.table+" SET expires_at = ?", w.text(noon)), nil)
		e.clock.Set(noon.AddDate(0, 0, 2))
		wantLag(t, e.Repository, 48*time.Hour)
		deleted, err := e.Sweep(ctx)
		wantIs(t, err, nil)
		if deleted != 1 {
			t.Fatalf("%v: deleted %d rows", w, deleted)
		}
		e.clock.Set(noon)
	}
}

func lagOfUnreadable(t *testing.T, e *env) {
	for _, text := range append(e.neverLive, e.unending) {
		e.store(t, "live", noon, noon.Add(life))
		if err := e.exec("UPDATE "+e.table+" SET expires_at = ?", text); err != nil {
			continue // the database refuses it
		}
		lag, err := e.SweepLag(ctx)
		if err != nil || lag < 0 || text == e.unending && lag != 0 {
			t.Errorf("%q: %v, %v", text, lag, err)
		}
		wantIs(t, e.exec("DELETE FROM "+e.table), nil)
	}
}

func lagByIndex(t *testing.T, e *env) {
	e.storeExpired(t, 300)
	for i := 0; i < 100; i++ {
		e.issue(t, time.Hour)
	}
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		if e.avoidScans != "" {
			wantIs(t, tx.Exec(e.avoidScans).Error, nil)
		}
		var text string
		var values []any
		watch(t, e.db, func(tx *gorm.DB) { text, values = sqlOf(tx), tx.Statement.Vars })
		wantLag(t, e.WithTx(tx), time.Second)
		rows, err := tx.Statement.ConnPool.QueryContext(ctx, e.explain+text, values...)
		wantIs(t, err, nil)
		defer rows.Close()
		plan := ""
		for rows.Next() {
			columns, err := rows.Columns()
			wantIs(t, err, nil)
			texts, dest := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range texts {
				dest[i] = &texts[i]
			}
			wantIs(t, rows.Scan(dest...), nil)
			for _, column := range texts {
				plan += column.String + " "
			}
			plan += "\n"
		}
		if !strings.Contains(plan, e.table+"_expires_at_index") {
			t.Errorf("%s\n%s", text, plan)
		}
		for _, more := range []string{"sort", "TEMP B-TREE", "SCAN " + e.table, "Seq Scan"} {
			if strings.Contains(plan, more) {
				t.Errorf("%s: %s\n%s", more, text, plan)
			}
		}
		return nil
	}), nil)
}

func lagInTransaction(t *testing.T, e *env) {
	e.storeExpired(t, 1)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantLag(t, e.WithTx(tx), time.Second)
		return nil
	}), nil)
	_, err := e.WithTx(nil).SweepLag(ctx)
	wantFailure(t, err)
	wantNames(t, err, "dpopnonce: sweep lag: ")
	ended, cancel := endedContext()
	defer cancel()
	lag, err := e.SweepLag(ended)
	wantFailure(t, err)
	if lag != 0 {
		t.Errorf("lag %v beside %v", lag, err)
	}
}
