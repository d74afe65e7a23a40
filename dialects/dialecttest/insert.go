package dialecttest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

var insertCases = []testCase{
	{name: "keeps an id or makes a UUIDv7", run: insertSetsID},
	{name: "reports a duplicate, TranslateError off", run: insertDuplicate(false)},
	{name: "reports a duplicate, TranslateError on", run: insertDuplicate(true)},
	{name: "stores one of 32 equal nonces", run: insertOneOfMany},
	{name: "reports a duplicate of nonce and id", run: insertSameRow},
	{name: "fails on a duplicate id", run: insertDuplicateID},
	{name: "refuses an unfit changeset without a statement", run: insertUnfitChangeset},
	{name: "refuses a nonce of the sealed form", run: insertSealedForm},
	{name: "judges rows of db.Create in UTC", run: createdRows, needs: bindsUTC | hooks},
}

func insertSetsID(t *testing.T, e *env) {
	row, err := e.Insert(ctx, changeset("without", noon.Add(time.Second/2), noon.Add(time.Minute)))
	wantIs(t, err, nil)
	if row.ID.Version() != 7 || row.UsedAt != nil || !row.IssuedAt.Equal(noon) {
		t.Fatalf("returned %+v", row)
	}
	id := uuid.New()
	row, err = e.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{ID: id},
		dpopnonce.IssueAttrs{Nonce: "with", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}))
	wantIs(t, err, nil)
	if row.ID != id || e.count(t, "id = ? AND nonce = ?", id, "with") != 1 {
		t.Fatalf("returned %+v", row)
	}
}

func insertDuplicate(translate bool) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		db := e.db.Session(&gorm.Session{NewDB: true})
		db.TranslateError = translate
		r := e.repository(t, db)
		again := changeset("Taken'nonce", noon, noon.Add(time.Minute))
		_, err := r.Insert(ctx, again)
		wantIs(t, err, nil)
		_, err = r.Insert(ctx, again)
		wantDuplicate(t, err, "Taken")
		wantIs(t, db.Transaction(func(tx *gorm.DB) error {
			_, err := r.WithTx(tx).Insert(ctx, again)
			wantDuplicate(t, err, "Taken")
			_, err = r.WithTx(tx).Insert(ctx, changeset("after", noon, noon.Add(time.Minute)))
			return err
		}), nil)
		wantIs(t, r.Consume(ctx, "after", time.Minute), nil)
	}
}

// wantDuplicate fails unless err is a fault of the field nonce that does not
// print secret.
func wantDuplicate(t *testing.T, err error, secret string) {
	t.Helper()
	wantIs(t, err, dpopnonce.ErrDuplicate)
	var invalid *dpopnonce.ValidationError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 1 ||
		invalid.Errors[0] != (dpopnonce.FieldError{Field: "nonce", Message: "has already been taken"}) {
		t.Fatalf("got %#v", err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Fatalf("the error prints the nonce: %v", err)
	}
}

func insertOneOfMany(t *testing.T, e *env) {
	connect(t, e.db)
	wantOneWinner(t, race(callers, func(int) error {
		_, err := e.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
		return err
	}), dpopnonce.ErrDuplicate)
	if n := e.count(t, "nonce = ?", "same"); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

func insertSameRow(t *testing.T, e *env) {
	c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{ID: uuid.New()},
		dpopnonce.IssueAttrs{Nonce: "again", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)})
	_, err := e.Insert(ctx, c)
	wantIs(t, err, nil)
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		_, err := e.WithTx(tx).Insert(ctx, c)
		wantIs(t, err, dpopnonce.ErrDuplicate)
		return e.WithTx(tx).Consume(ctx, "again", time.Minute)
	}), nil)
}

func insertDuplicateID(t *testing.T, e *env) {
	row, err := e.Insert(ctx, changeset("first", noon, noon.Add(time.Minute)))
	wantIs(t, err, nil)
	_, err = e.Insert(ctx, dpopnonce.IssueChangeset(row,
		dpopnonce.IssueAttrs{Nonce: "second", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}))
	if err == nil || errors.Is(err, dpopnonce.ErrDuplicate) {
		t.Fatalf("got %v", err)
	}
	if e.rows(t) != 1 {
		t.Fatal("the second row was stored")
	}
}

func insertUnfitChangeset(t *testing.T, e *env) {
	sent := statements(t, e.db)
	for _, c := range []dpopnonce.Changeset{
		{},
		changeset("spa ce", noon, noon.Add(time.Minute)),
		dpopnonce.ConsumeChangeset(dpopnonce.DPoPNonce{Nonce: "other"}, noon),
	} {
		_, err := e.Insert(ctx, c)
		var invalid *dpopnonce.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Errors) == 0 {
			t.Fatalf("got %v", err)
		}
	}
	wantNoStatement(t, sent)
}

// insertSealedForm also has nonces that no Sealer made: the form alone counts.
func insertSealedForm(t *testing.T, e *env) {
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "insert", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	wantIs(t, err, nil)
	sealed, err := sealer.Issue(ctx, time.Minute)
	wantIs(t, err, nil)
	sent := statements(t, e.db)
	for _, nonce := range []string{sealed, sealed[:1] + strings.Repeat("A", len(sealed)-1)} {
		c := changeset(nonce, noon, noon.Add(time.Minute))
		wantIs(t, c.Err(), nil)
		_, err := e.Insert(ctx, c)
		var invalid *dpopnonce.ValidationError
		if !errors.As(err, &invalid) || len(invalid.Errors) != 1 || invalid.Errors[0].Field != "nonce" ||
			errors.Is(err, dpopnonce.ErrDuplicate) || strings.Contains(err.Error(), nonce) {
			t.Fatalf("got %v", err)
		}
	}
	wantNoStatement(t, sent)
	for _, nonce := range []string{sealed[:59], sealed + "A", "." + sealed[1:], sealed[:59] + "."} {
		_, err := e.Insert(ctx, changeset(nonce, noon, noon.Add(time.Minute)))
		wantIs(t, err, nil)
		wantIs(t, e.Consume(ctx, nonce, time.Minute), nil)
	}
}

// createdRows stores rows by the model, as an application may, with times in
// other zones.
func createdRows(t *testing.T, e *env) {
	create := func(row *dpopnonce.DPoPNonce) {
		t.Helper()
		wantIs(t, e.db.Session(&gorm.Session{NewDB: true}).Table(e.table).Create(row).Error, nil)
	}
	for _, zone := range []*time.Location{time.FixedZone("east", 9*3600), time.FixedZone("west", -5*3600)} {
		row := dpopnonce.DPoPNonce{
			Nonce:     "created-" + zone.String(),
			IssuedAt:  noon.Add(time.Second / 2).In(zone),
			ExpiresAt: noon.Add(time.Minute + time.Second/2).In(zone),
		}
		create(&row)
		used := noon.Add(time.Second / 2).In(zone)
		spent := dpopnonce.DPoPNonce{Nonce: "spent-" + zone.String(), IssuedAt: row.IssuedAt, ExpiresAt: row.ExpiresAt, UsedAt: &used}
		create(&spent)
		if *spent.UsedAt != noon || used == noon {
			t.Fatalf("created %+v, and the caller's time became %v", spent, used)
		}
		if row.ID.Version() != 7 || row.IssuedAt != noon || row.ExpiresAt != noon.Add(time.Minute) {
			t.Fatalf("created %+v", row)
		}
		e.clock.Set(noon.Add(time.Minute))
		wantIs(t, e.consume(row.Nonce), dpopnonce.ErrExpired)
		e.clock.Set(noon.Add(time.Minute - time.Second))
		wantIs(t, e.Consume(ctx, row.Nonce, 58*time.Second), dpopnonce.ErrExpired)
		wantIs(t, e.Consume(ctx, row.Nonce, 59*time.Second), nil)
	}
}
