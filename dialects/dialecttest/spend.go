package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var spendCases = []testCase{
	{name: "accepts a proof once", run: proofOnce},
	{name: "accepts a proof once of 32 callers", run: proofRace},
	{name: "accepts ids of any length and content", run: proofIDs},
	{name: "judges until to the second", run: proofUntil},
	{name: "refuses bad arguments without a statement", run: proofArguments},
	{name: "gives a proof back on rollback", run: proofRollback},
	{name: "leaves a transaction usable after a replay", run: proofInTransaction},
	{name: "takes one statement, accepted or replayed", run: proofStatements},
	{name: "keeps a proof until Tolerance has passed", run: proofSwept},
	{name: "takes no proof for a nonce", run: proofIsNoNonce},
	{name: "accepts nothing without the unique index", run: proofWithoutIndex},
	{name: "accepts nothing that expires during its call", run: proofExpiresMeanwhile},
	{name: "shares statements among different proofs", run: proofsShared, needs: groupCommit},
}

func proofOnce(t *testing.T, e *env) {
	until := noon.Add(time.Minute)
	wantIs(t, e.Spend(ctx, "thumbprint.jti", until), nil)
	wantIs(t, e.Spend(ctx, "thumbprint.jti", until), dpopnonce.ErrReplayed)
	wantIs(t, e.Spend(ctx, "thumbprint.other", until), nil)
	err := e.Spend(ctx, "thumbprint.jti", until)
	if errors.Is(err, dpopnonce.ErrRejected) {
		t.Fatal("a replay is a rejection")
	}
}

func proofRace(t *testing.T, e *env) {
	connect(t, e.db)
	nodes := e.nodes(t)
	for n := 0; n < 20; n++ {
		wins := 0
		for _, err := range race(callers, func(i int) error {
			return nodes[i%len(nodes)].Spend(ctx, fmt.Sprint("proof-", n), noon.Add(time.Minute))
		}) {
			if err == nil {
				wins++
				continue
			}
			wantIs(t, err, dpopnonce.ErrReplayed)
		}
		if wins != 1 {
			t.Fatalf("accepted %d times", wins)
		}
	}
}

func proofIDs(t *testing.T, e *env) {
	for _, id := range []string{"a", "A", " ", "a ", "\x00", "\xff\xfe", "é", "'; --", strings.Repeat("x", 100_000)} {
		wantIs(t, e.Spend(ctx, id, noon.Add(time.Minute)), nil)
		wantIs(t, e.Spend(ctx, id, noon.Add(time.Minute)), dpopnonce.ErrReplayed)
	}
}

func proofUntil(t *testing.T, e *env) {
	e.clock.Set(noon.Add(time.Second - 1))
	for until, want := range map[time.Duration]error{
		-time.Hour: dpopnonce.ErrExpired, 0: dpopnonce.ErrExpired, time.Second - 1: dpopnonce.ErrExpired, time.Second: nil,
	} {
		wantIs(t, e.Spend(ctx, fmt.Sprint(until), noon.Add(until)), want)
	}
	wantIs(t, e.Spend(ctx, "zero", time.Time{}), dpopnonce.ErrExpired)
}

func proofArguments(t *testing.T, e *env) {
	sent := statements(t, e.db)
	far := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		id     string
		until  time.Time
		fields []string
	}{
		{"", noon.Add(time.Minute), []string{"id"}},
		{"id", far, []string{"until"}},
		{"", far, []string{"id", "until"}},
	} {
		err := e.Spend(ctx, c.id, c.until)
		var invalid *dpopnonce.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Errors) != len(c.fields) {
			t.Fatalf("got %v", err)
		}
		for i, field := range c.fields {
			if invalid.Errors[i].Field != field {
				t.Fatalf("got %v", err)
			}
		}
	}
	wantIs(t, e.Spend(ctx, "late", noon), dpopnonce.ErrExpired)
	wantNoStatement(t, sent)
	wantIs(t, e.Spend(ctx, "last", far.Add(-dpopnonce.Tolerance)), nil)
	wantIs(t, e.Spend(ctx, "last", far.Add(-dpopnonce.Tolerance)), dpopnonce.ErrReplayed)
}

func proofRollback(t *testing.T, e *env) {
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		wantIs(t, e.WithTx(tx).Spend(ctx, "proof", noon.Add(time.Minute)), nil)
		return errRollback
	}), errRollback)
	wantIs(t, e.Spend(ctx, "proof", noon.Add(time.Minute)), nil)
}

func proofInTransaction(t *testing.T, e *env) {
	wantIs(t, e.Spend(ctx, "proof", noon.Add(time.Minute)), nil)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		r := e.WithTx(tx)
		wantIs(t, r.Spend(ctx, "proof", noon.Add(time.Minute)), dpopnonce.ErrReplayed)
		return r.Spend(ctx, "other", noon.Add(time.Minute))
	}), nil)
	wantIs(t, e.Spend(ctx, "other", noon.Add(time.Minute)), dpopnonce.ErrReplayed)
}

func proofStatements(t *testing.T, e *env) {
	wantIs(t, e.Spend(ctx, "first", noon.Add(time.Minute)), nil)
	sent := statements(t, e.db)
	for _, want := range []error{nil, dpopnonce.ErrReplayed, dpopnonce.ErrReplayed} {
		wantIs(t, e.Spend(ctx, "proof", noon.Add(time.Minute)), want)
		if all := sent(); len(all) != 1 {
			t.Fatalf("sent %q", all)
		}
	}
}

func proofSwept(t *testing.T, e *env) {
	wantIs(t, e.Spend(ctx, "proof", noon.Add(time.Minute+1)), nil)
	// The row expires in the second after until, and Tolerance later.
	last := noon.Add(time.Minute + time.Second + dpopnonce.Tolerance)
	for _, c := range []struct {
		at      time.Time
		deleted int64
	}{{last, 0}, {last.Add(time.Second), 1}} {
		e.clock.Set(c.at)
		deleted, err := e.Sweep(ctx)
		wantIs(t, err, nil)
		if deleted != c.deleted {
			t.Fatalf("deleted %d rows at %v", deleted, c.at)
		}
	}
}

func proofIsNoNonce(t *testing.T, e *env) {
	wantIs(t, e.Spend(ctx, "proof", noon.Add(time.Minute)), nil)
	var stored string
	if err := e.db.Session(&gorm.Session{NewDB: true}).Raw("SELECT nonce FROM ?", clause.Table{Name: e.table}).Row().Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if len(stored) != 43 {
		t.Fatalf("stored %q", stored)
	}
	wantIs(t, e.consume(stored), dpopnonce.ErrUsed)
	wantIs(t, e.check(stored), dpopnonce.ErrUsed)
}

func proofWithoutIndex(t *testing.T, e *env) {
	e.dropNonceIndex(t)
	accepted := 0
	for i := 0; i < 3; i++ {
		if e.repository(t, e.db).Spend(ctx, "proof", noon.Add(time.Minute)) == nil {
			accepted++
		}
	}
	if accepted > 1 {
		t.Fatalf("accepted %d times", accepted)
	}
}

// A caller whose INSERT was held up, while the row of another was swept, must
// not be accepted a second time.
func proofExpiresMeanwhile(t *testing.T, e *env) {
	until := noon.Add(time.Minute)
	r := e.repository(t, e.db)
	wantIs(t, r.Spend(ctx, "proof", until), nil)
	late := false
	watch(t, e.db, func(tx *gorm.DB) {
		if late || !strings.Contains(tx.Statement.SQL.String(), "INSERT") {
			return
		}
		late = true
		e.clock.Set(until.Add(dpopnonce.Tolerance + time.Hour))
		err := tx.Session(&gorm.Session{NewDB: true}).Exec("DELETE FROM ?", clause.Table{Name: e.table}).Error // as a sweep does
		if err != nil {
			t.Error(err)
		}
	})
	wantIs(t, r.Spend(ctx, "proof", until), dpopnonce.ErrExpired)
	if !late {
		t.Fatal("no INSERT was seen")
	}
}

func proofsShared(t *testing.T, e *env) {
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	wantIs(t, r.Spend(ctx, "replayed", noon.Add(time.Minute)), nil)
	sent := statements(t, e.db)
	const proofs = 60
	for i, err := range crowd(t, e.db, 4*proofs, func(ctx context.Context, i int) error {
		switch i % 4 {
		case 0, 1: // each twice
			return r.Spend(ctx, fmt.Sprint("proof-", i/4), noon.Add(time.Minute))
		case 2:
			return r.Spend(ctx, "replayed", noon.Add(time.Minute))
		}
		return r.Spend(ctx, fmt.Sprint("late-", i), noon)
	}) {
		switch i % 4 {
		case 2:
			wantIs(t, err, dpopnonce.ErrReplayed)
		case 3:
			wantIs(t, err, dpopnonce.ErrExpired)
		}
	}
	if all := sent(); len(all) >= 3*proofs {
		t.Fatalf("%d statements", len(all))
	}
	if n := e.count(t, "used_at IS NOT NULL"); n != proofs+1 {
		t.Fatalf("%d rows for %d proofs", n, proofs+1)
	}
}
