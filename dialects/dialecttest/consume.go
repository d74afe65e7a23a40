package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // for berlin, where the machine has no zones

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var consumeCases = []testCase{
	{name: "unknown, used and expired are told apart, in this order", run: func(t *testing.T, e *env) {
		wantIs(t, e.consume("never-issued"), dpopnonce.ErrUnknown)
		nonce, late := e.issue(t, time.Minute), e.issue(t, time.Minute)
		wantIs(t, e.consume(nonce), nil)
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
		e.clock.Set(noon.Add(time.Hour))
		wantIs(t, e.consume(nonce), dpopnonce.ErrUsed)
		wantIs(t, e.consume(late), dpopnonce.ErrExpired)
		wantIs(t, e.consume("never-issued"), dpopnonce.ErrUnknown)
	}},
	judgedCase("judges to the second and to the byte, and writes when it accepted", nil, 2, consuming),
	{name: "a rejected nonce is not spent by the rejection", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		e.clock.Set(noon.Add(time.Minute))
		wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
		if e.used(t, nonce) {
			t.Fatal("used_at was written")
		}
	}},
	{name: "accepts in the last second before expires_at and rejects from expires_at on", run: func(t *testing.T, e *env) {
		e.store(t, "last", noon, noon.Add(10*time.Second))
		e.store(t, "past", noon, noon.Add(10*time.Second))
		e.clock.Set(noon.Add(10 * time.Second))
		wantIs(t, e.consume("last"), dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(10*time.Second - 1))
		wantIs(t, e.consume("last"), nil)
		e.clock.Set(noon.Add(11 * time.Second))
		wantIs(t, e.consume("past"), dpopnonce.ErrExpired)
	}},
	{name: "accepts a nonce as old as the ttl and rejects one a second older", run: func(t *testing.T, e *env) {
		e.store(t, "old", noon, noon.Add(time.Hour))
		e.clock.Set(noon.Add(11 * time.Second))
		wantIs(t, e.Consume(ctx, "old", 10*time.Second), dpopnonce.ErrExpired)
		wantIs(t, e.Consume(ctx, "old", 11*time.Second-1), dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(11*time.Second - 1))
		wantIs(t, e.Consume(ctx, "old", 10*time.Second), nil)
	}},
	{name: "a row past expires_at is expired although its age is within the ttl", run: func(t *testing.T, e *env) {
		e.store(t, "short", noon, noon.Add(time.Second))
		e.clock.Set(noon.Add(2 * time.Second))
		wantIs(t, e.Consume(ctx, "short", time.Hour), dpopnonce.ErrExpired)
	}},
	{name: "instants stored with a fraction are floored", needs: known, run: func(t *testing.T, e *env) {
		e.store(t, "fraction", noon, noon.Add(time.Minute))
		layout := map[string]string{
			"postgres": "2006-01-02 15:04:05.00+00", "sqlite": "2006-01-02 15:04:05.00+00:00", "mysql": "2006-01-02 15:04:05.00",
		}[e.has.database]
		wantIs(t, e.exec("UPDATE ? SET expires_at = ? WHERE nonce = ?", clause.Table{Name: e.table},
			noon.Add(10*time.Second+time.Second/4).Format(layout), "fraction"), nil)
		e.clock.Set(noon.Add(10*time.Second + 9*time.Second/10))
		wantIs(t, e.consume("fraction"), dpopnonce.ErrExpired)
		wantIs(t, e.Check(ctx, "fraction", time.Hour), dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(10*time.Second - 1))
		wantIs(t, e.consume("fraction"), nil)
	}},
	{name: "a clock in any zone, at a clock change too, means the same instants", run: func(t *testing.T, e *env) {
		for i, zone := range []*time.Location{
			time.FixedZone("", 14*3600), time.FixedZone("", -11*3600), time.FixedZone("", 5*3600+1800), berlin(),
		} {
			nonce, other := fmt.Sprint("zone-", i), fmt.Sprint("other-", i)
			start := time.Date(2026, 10, 25, 0, 59, 30, 0, time.UTC) // Berlin's clock goes back at 01:00 UTC
			e.clock.Set(start.In(zone))
			e.store(t, nonce, start, start.Add(time.Minute))
			e.store(t, other, start.In(zone), start.Add(time.Minute).In(zone))
			e.clock.Set(start.Add(time.Minute).In(zone))
			wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
			wantIs(t, e.consume(other), dpopnonce.ErrExpired)
			e.clock.Set(start.Add(59 * time.Second).In(zone))
			wantIs(t, e.Consume(ctx, nonce, 58*time.Second), dpopnonce.ErrExpired)
			wantIs(t, e.Consume(ctx, nonce, 59*time.Second), nil)
			wantIs(t, e.consume(other), nil)
		}
	}},
	{name: "a nonce matches byte for byte", run: byteForByte},
	{name: "a nonce matches byte for byte whatever the column's collation",
		needs: func(f features) bool { return f.database == "mysql" || f.database == "sqlite" },
		run: func(t *testing.T, e *env) {
			e.ignoreCase(t)
			byteForByte(t, e)
		}},
	{name: "values that cannot be nonces are ErrUnknown and leave a transaction usable", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		for _, malformed := range malformedNonces {
			wantIs(t, e.consume(malformed), reasonOf(malformed))
			wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
				r := e.WithTx(tx)
				wantIs(t, r.Consume(ctx, malformed, time.Minute), reasonOf(malformed))
				wantIs(t, r.Check(ctx, malformed, time.Minute), reasonOf(malformed))
				_, err := r.Issue(ctx, time.Minute)
				return err
			}), nil)
		}
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "the longest nonce works", run: func(t *testing.T, e *env) {
		longest := strings.Repeat("~", 255)
		e.store(t, longest, noon, noon.Add(time.Minute))
		wantIs(t, e.consume(longest), nil)
		wantIs(t, e.consume(longest), dpopnonce.ErrUsed)
	}},
	{name: "an ended context is its error and spends nothing", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := e.Consume(ended, nonce, time.Minute)
		wantFailure(t, err)
		wantIs(t, err, context.Canceled)
		next, err := e.Rotate(ended, nonce, time.Minute)
		wantFailure(t, err)
		wantIs(t, err, context.Canceled)
		if next != "" {
			t.Fatalf("a successor: %q", next)
		}
		if e.used(t, nonce) {
			t.Fatal("spent")
		}
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "a context that ends during the statement is its error and no second acceptance", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		ending, cancel := context.WithCancel(ctx)
		watch(t, e.db, func(*gorm.DB) { cancel() })
		err := e.Consume(ending, nonce, time.Minute)
		wantFailure(t, err)
		wantIs(t, err, context.Canceled)
		accepted := 0
		for i := 0; i < 2; i++ {
			if e.consume(nonce) == nil {
				accepted++
			}
		}
		if accepted > 1 {
			t.Fatal("accepted twice")
		}
	}},
	{name: "a table without its unique index is a failure that names it and never a second acceptance", run: func(t *testing.T, e *env) {
		e.store(t, "twice", noon, noon.Add(time.Minute))
		e.dropNonceIndex(t)
		if e.has.conflictUp {
			_, err := e.repository(t, e.db).Issue(ctx, time.Minute)
			wantFailure(t, err)
			wantNames(t, err, e.table+"_nonce_index")
			_, err = e.Insert(ctx, changeset("new", noon, noon.Add(time.Minute)))
			wantFailure(t, err)
			wantNames(t, err, e.table+"_nonce_index")
		}
		wantIs(t, e.exec("INSERT INTO ? (id, nonce, issued_at, expires_at)"+
			" SELECT '018f0000-0000-7000-8000-000000000001', nonce, issued_at, expires_at FROM ?",
			clause.Table{Name: e.table}, clause.Table{Name: e.table}), nil)
		for _, err := range race(4, func(int) error { return e.consume("twice") }) {
			if err == nil {
				t.Fatal("accepted")
			}
			if !errors.Is(err, dpopnonce.ErrRejected) {
				wantNames(t, err, e.table+"_nonce_index")
				continue
			}
			wantIs(t, err, dpopnonce.ErrUsed) // after the one that spent both rows
		}
	}},
}

func byteForByte(t *testing.T, e *env) {
	e.store(t, "abcDEF", noon, noon.Add(time.Minute))
	for _, like := range likeABCDEF {
		wantIs(t, e.consume(like), dpopnonce.ErrUnknown)
		wantIs(t, e.Check(ctx, like, time.Minute), dpopnonce.ErrUnknown)
	}
	wantIs(t, e.consume("abcDEF"), nil)
}

// reasonOf is why a malformed nonce is rejected.
func reasonOf(malformed string) error {
	if malformed == "" {
		return dpopnonce.ErrMissing
	}
	return dpopnonce.ErrUnknown
}

var likeABCDEF = []string{"ABCDEF", "abcdef", "abcDEF ", " abcDEF", "abcDEF\t", "\u00e1bcDEF", "abcDE\uff26", "abcDEF\x00"}

var malformedNonces = []string{
	"", " ", "a b", "\u00e1", strings.Repeat("a", 256), "nul\x00", "\x00", "\xff\xfe", "quote\"", "back\\slash", "\x7f", "line\n",
}

// berlin is where clocks go back.
func berlin() *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return zone
}

func wantNames(t *testing.T, err error, name string) {
	t.Helper()
	if !strings.Contains(err.Error(), name) {
		t.Fatalf("%q does not name %s", err, name)
	}
}

// ignoreCase gives the nonce column a collation that takes "a" for "A".
func (e *env) ignoreCase(t *testing.T) {
	t.Helper()
	table := clause.Table{Name: e.table}
	if onMySQL(e.has) {
		wantIs(t, e.exec("ALTER TABLE ? MODIFY nonce varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL", table), nil)
		return
	}
	wantIs(t, e.exec("DROP TABLE ?", table), nil)
	wantIs(t, e.exec("CREATE TABLE ? (id TEXT PRIMARY KEY, nonce TEXT NOT NULL COLLATE NOCASE,"+
		" issued_at datetime NOT NULL, expires_at datetime NOT NULL, used_at datetime)", table), nil)
	migrate(t, e.Repository)
}

func (e *env) dropNonceIndex(t *testing.T) {
	t.Helper()
	drop := "DROP INDEX " + e.table + "_nonce_index"
	if onMySQL(e.has) {
		drop += " ON " + e.table
	}
	wantIs(t, e.exec(drop), nil)
}
