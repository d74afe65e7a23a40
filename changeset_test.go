package dpopnonce_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
)

var (
	noon  = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	tokyo = time.FixedZone("Tokyo", 9*3600)
)

func TestIssueChangesetCastsThreeColumnsAndFloorsThem(t *testing.T) {
	used := noon
	base := dpopnonce.DPoPNonce{ID: uuid.New(), Nonce: "base", IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon, UsedAt: &used}
	c := dpopnonce.IssueChangeset(base, dpopnonce.IssueAttrs{
		Nonce:     "new",
		IssuedAt:  noon.Add(time.Second - 1).In(tokyo),
		ExpiresAt: noon.Add(time.Minute + 1).In(tokyo),
	})
	if !c.Valid() || c.Err() != nil {
		t.Fatal(c.Err())
	}
	want := dpopnonce.DPoPNonce{ID: base.ID, Nonce: "new", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}
	if got := c.Row(); got != want {
		t.Errorf("row %+v, want %+v", got, want)
	}
	wantChanges(t, c, map[string]any{"nonce": "new", "issued_at": noon, "expires_at": noon.Add(time.Minute)})
}

func TestIssueChangesetReportsEveryFaultInColumnOrder(t *testing.T) {
	const (
		blank  = "can't be blank"
		format = "has invalid format"
		size   = "should be at most 255 character(s)"
		order  = "must be after issued_at"
		years  = "must be in the years 1 to 9999"
	)
	later := noon.Add(time.Minute)
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for name, c := range map[string]struct {
		attrs dpopnonce.IssueAttrs
		want  []dpopnonce.FieldError
	}{
		"nothing given": {dpopnonce.IssueAttrs{}, []dpopnonce.FieldError{{"nonce", blank}, {"issued_at", blank}, {"expires_at", blank}}},
		"white space":   {dpopnonce.IssueAttrs{" \t\n\u00a0", noon, later}, []dpopnonce.FieldError{{"nonce", blank}}},
		"only a nonce":  {dpopnonce.IssueAttrs{Nonce: "n"}, []dpopnonce.FieldError{{"issued_at", blank}, {"expires_at", blank}}},
		"a space":       {dpopnonce.IssueAttrs{"a b", noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"a quote":       {dpopnonce.IssueAttrs{`a"b`, noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"a backslash":   {dpopnonce.IssueAttrs{`a\b`, noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"NUL":           {dpopnonce.IssueAttrs{"a\x00", noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"invalid UTF-8": {dpopnonce.IssueAttrs{"a\xff", noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"too long":      {dpopnonce.IssueAttrs{strings.Repeat("a", 256), noon, later}, []dpopnonce.FieldError{{"nonce", size}}},
		"long accents":  {dpopnonce.IssueAttrs{strings.Repeat("\u00e9", 255), noon, later}, []dpopnonce.FieldError{{"nonce", format}}},
		"everything": {dpopnonce.IssueAttrs{strings.Repeat(" a", 128), noon, noon},
			[]dpopnonce.FieldError{{"nonce", format}, {"nonce", size}, {"expires_at", order}}},
		"same second": {dpopnonce.IssueAttrs{"n", noon, noon.Add(time.Second - 1)}, []dpopnonce.FieldError{{"expires_at", order}}},
		"backwards":   {dpopnonce.IssueAttrs{"n", later, noon}, []dpopnonce.FieldError{{"expires_at", order}}},
		"year 0":      {dpopnonce.IssueAttrs{"n", first.Add(-1), noon}, []dpopnonce.FieldError{{"issued_at", years}}},
		"year 1":      {dpopnonce.IssueAttrs{"n", first.Add(time.Second - 1), noon}, []dpopnonce.FieldError{{"issued_at", blank}}},
		"year 10000":  {dpopnonce.IssueAttrs{"n", noon, last.Add(time.Second)}, []dpopnonce.FieldError{{"expires_at", years}}},
		"only in UTC": {dpopnonce.IssueAttrs{"n", noon, last.Add(time.Second).In(time.FixedZone("", -3600))}, []dpopnonce.FieldError{{"expires_at", years}}},
		"far away": {dpopnonce.IssueAttrs{"n", time.Unix(math.MinInt64, 0), time.Unix(math.MaxInt64, 0)},
			[]dpopnonce.FieldError{{"issued_at", years}, {"expires_at", years}}},
	} {
		t.Run(name, func(t *testing.T) {
			used := noon
			base := dpopnonce.DPoPNonce{Nonce: "base", IssuedAt: noon, ExpiresAt: later, UsedAt: &used}
			changeset := dpopnonce.IssueChangeset(base, c.attrs)
			if changeset.Valid() {
				t.Fatal("valid")
			}
			wantFaults(t, changeset.Err(), c.want)
			if row := changeset.Row(); row.UsedAt != nil || row.Nonce == "base" {
				t.Errorf("row %+v", row)
			}
		})
	}
}

func TestIssueChangesetAcceptsTheWholeOfNQCHAR(t *testing.T) {
	var all []byte
	for c := byte(0x21); c <= 0x7e; c++ {
		if c != '"' && c != '\\' {
			all = append(all, c)
		}
	}
	c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{}, dpopnonce.IssueAttrs{Nonce: string(all), IssuedAt: noon, ExpiresAt: noon.Add(time.Second)})
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestConsumeChangesetWritesUsedAtOnly(t *testing.T) {
	row := dpopnonce.DPoPNonce{ID: uuid.New(), Nonce: "n", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}
	c := dpopnonce.ConsumeChangeset(row, noon.Add(time.Second+1).In(tokyo))
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	wantChanges(t, c, map[string]any{"used_at": noon.Add(time.Second)})
	got := c.Row()
	if got.UsedAt == nil || *got.UsedAt != noon.Add(time.Second) || row.UsedAt != nil {
		t.Errorf("row %+v", got)
	}
	got.UsedAt = nil
	if got != row {
		t.Errorf("row %+v, want %+v", got, row)
	}
}

func TestConsumeChangesetRefusesUsedRows(t *testing.T) {
	used := noon
	row := dpopnonce.DPoPNonce{Nonce: "n", UsedAt: &used}
	blank := dpopnonce.FieldError{Field: "used_at", Message: "can't be blank"}
	again := dpopnonce.FieldError{Field: "used_at", Message: "has already been used"}

	zero := dpopnonce.ConsumeChangeset(dpopnonce.DPoPNonce{Nonce: "n"}, time.Time{})
	wantFaults(t, zero.Err(), []dpopnonce.FieldError{blank})
	if errors.Is(zero.Err(), dpopnonce.ErrUsed) {
		t.Error("a zero time is ErrUsed")
	}
	twice := dpopnonce.ConsumeChangeset(row, noon.Add(time.Hour))
	wantFaults(t, twice.Err(), []dpopnonce.FieldError{again})
	if err := twice.Err(); !errors.Is(err, dpopnonce.ErrUsed) || !errors.Is(err, dpopnonce.ErrRejected) || errors.Is(err, dpopnonce.ErrDuplicate) {
		t.Errorf("got %v", err)
	}
	wantChanges(t, twice, map[string]any{})
	if got := twice.Row(); !got.UsedAt.Equal(noon) {
		t.Errorf("the first use was overwritten: %+v", got)
	}
	wantFaults(t, dpopnonce.ConsumeChangeset(row, time.Time{}).Err(), []dpopnonce.FieldError{blank, again})
}

func TestConsumeChangesetRefusesWhatNoColumnHolds(t *testing.T) {
	used := noon
	years := dpopnonce.FieldError{Field: "used_at", Message: "must be in the years 1 to 9999"}
	for _, at := range []time.Time{time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		c := dpopnonce.ConsumeChangeset(dpopnonce.DPoPNonce{Nonce: "n"}, at)
		wantFaults(t, c.Err(), []dpopnonce.FieldError{years})
		wantChanges(t, c, map[string]any{})
		again := dpopnonce.ConsumeChangeset(dpopnonce.DPoPNonce{Nonce: "n", UsedAt: &used}, at)
		wantFaults(t, again.Err(), []dpopnonce.FieldError{years, {Field: "used_at", Message: "has already been used"}})
	}
}

func TestChangesetHandsOutCopies(t *testing.T) {
	c := dpopnonce.ConsumeChangeset(dpopnonce.DPoPNonce{Nonce: "n"}, noon)
	c.Changes()["used_at"] = "changed"
	*c.Row().UsedAt = noon.Add(time.Hour)
	wantChanges(t, c, map[string]any{"used_at": noon})
	if got := c.Row(); *got.UsedAt != noon {
		t.Errorf("row %+v", got)
	}
}

func TestReasonsAreRejectionsAndDiffer(t *testing.T) {
	reasons := []error{dpopnonce.ErrMissing, dpopnonce.ErrUnknown, dpopnonce.ErrExpired, dpopnonce.ErrUsed}
	for i, err := range reasons {
		if !errors.Is(err, dpopnonce.ErrRejected) {
			t.Errorf("%v is no rejection", err)
		}
		for j, other := range reasons {
			if (i == j) != errors.Is(err, other) {
				t.Errorf("errors.Is(%v, %v) = %v", err, other, i != j)
			}
		}
	}
	for _, err := range []error{dpopnonce.ErrTTL, dpopnonce.ErrDuplicate} {
		if errors.Is(err, dpopnonce.ErrRejected) {
			t.Errorf("%v is a rejection", err)
		}
	}
}

func FuzzIssueChangeset(f *testing.F) {
	for _, nonce := range []string{"", " ", "abcDEF", "a b", "\u00e1", "\x00", "\xff", `"`, `\`, strings.Repeat("a", 255), strings.Repeat("a", 256)} {
		f.Add(nonce, int64(0), int64(60), int64(999))
		f.Add(nonce, int64(1_700_000_000), int64(-1), int64(0))
	}
	f.Fuzz(func(t *testing.T, nonce string, issued, life, nanos int64) {
		attrs := dpopnonce.IssueAttrs{Nonce: nonce, IssuedAt: time.Unix(issued, nanos).In(tokyo), ExpiresAt: time.Unix(issued, nanos).Add(time.Duration(life))}
		c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{}, attrs)
		row := c.Row()
		if row.UsedAt != nil {
			t.Error("used_at is set")
		}
		if (c.Err() == nil) != c.Valid() {
			t.Errorf("Valid %v, Err %v", c.Valid(), c.Err())
		}
		if err := c.Err(); err != nil {
			if len(nonce) > 40 && strings.Contains(err.Error(), nonce) {
				t.Error("the error prints the nonce")
			}
			return
		}
		if row.Nonce != nonce || len(nonce) == 0 || len(nonce) > 255 || !utf8.ValidString(nonce) {
			t.Errorf("accepted %q", nonce)
		}
		if !row.ExpiresAt.After(row.IssuedAt) || row.IssuedAt.Nanosecond() != 0 || row.ExpiresAt.Nanosecond() != 0 ||
			row.IssuedAt.Location() != time.UTC || row.IssuedAt.After(attrs.IssuedAt) || attrs.IssuedAt.Sub(row.IssuedAt) >= time.Second {
			t.Errorf("accepted %+v for %+v", row, attrs)
		}
	})
}

func FuzzConsumeChangeset(f *testing.F) {
	f.Add(int64(0), int64(0), true)
	f.Add(int64(1_700_000_000), int64(1), false)
	f.Fuzz(func(t *testing.T, sec, nanos int64, used bool) {
		row := dpopnonce.DPoPNonce{Nonce: "n"}
		if used {
			row.UsedAt = &noon
		}
		at := time.Unix(sec, nanos)
		c := dpopnonce.ConsumeChangeset(row, at)
		if floored := at.UTC().Truncate(time.Second); c.Valid() != (!used && !floored.IsZero() && floored.Year() >= 1 && floored.Year() <= 9999) {
			t.Fatalf("Valid %v, used %v, at %v", c.Valid(), used, at)
		}
		if got := len(c.Changes()); c.Valid() != (got == 1) {
			t.Fatalf("%d changes, Valid %v", got, c.Valid())
		}
	})
}

func wantChanges(t *testing.T, c dpopnonce.Changeset, want map[string]any) {
	t.Helper()
	if got := c.Changes(); !reflect.DeepEqual(got, want) {
		t.Errorf("changes %v, want %v", got, want)
	}
}

func wantFaults(t *testing.T, err error, want []dpopnonce.FieldError) {
	t.Helper()
	var invalid *dpopnonce.ValidationError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v, want a *ValidationError", err)
	}
	if !reflect.DeepEqual(invalid.Errors, want) {
		t.Errorf("faults %v, want %v", invalid.Errors, want)
	}
}
