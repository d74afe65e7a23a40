package dialecttest

import (
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

var urlSafe = regexp.MustCompile(`^[A-Za-z0-9._~-]{34,64}$`)

var issueCases = []testCase{
	{name: "an issued nonce is accepted once", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		wantIs(t, e.Consume(ctx, nonce, time.Minute), nil)
		wantIs(t, e.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUsed)
		wantIs(t, e.Consume(ctx, nonce, time.Minute), dpopnonce.ErrRejected)
	}},
	{name: "nonces are URL-safe and differ", run: func(t *testing.T, e *env) {
		seen := map[string]bool{}
		for i := 0; i < 20; i++ {
			nonce := e.issue(t, time.Minute)
			if !urlSafe.MatchString(nonce) || seen[nonce] {
				t.Fatalf("nonce %q after %d others", nonce, len(seen))
			}
			seen[nonce] = true
		}
	}},
	{name: "a nonce that is taken is minted again, by the first call and after many", run: func(t *testing.T, e *env) {
		for later := 0; later < 2; later++ {
			if later > 0 && e.has.database == "postgres" { // which sends another statement from some number on
				for _, err := range race(callers, func(int) (err error) {
					for i := 0; i < 32 && err == nil; i++ {
						_, err = e.Issue(ctx, time.Minute)
					}
					return err
				}) {
					wantIs(t, err, nil)
				}
			}
			taken := e.takeSuccessor(t, strings.Repeat("x", later))
			nonce := e.issue(t, time.Minute)
			if *taken == "" || nonce == *taken {
				t.Fatalf("took %q, issued %q", *taken, nonce)
			}
			wantIs(t, e.consume(nonce), nil)
			wantIs(t, e.consume(*taken), nil)
		}
	}},
	{name: "a new nonce leaves earlier ones good", run: func(t *testing.T, e *env) {
		first := e.issue(t, time.Minute)
		e.issue(t, time.Minute)
		wantIs(t, e.consume(first), nil)
	}},
	{name: "a ttl under one second is ErrTTL before anything else", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		sent := statements(t, e.db)
		for _, ttl := range []time.Duration{math.MinInt64, -time.Second, 0, time.Second - 1} {
			_, err := e.Issue(ctx, ttl)
			wantIs(t, err, dpopnonce.ErrTTL)
			for _, presented := range []string{nonce, "", "unknown"} {
				wantIs(t, e.Consume(ctx, presented, ttl), dpopnonce.ErrTTL)
				next, err := e.Rotate(ctx, presented, ttl)
				wantIs(t, err, dpopnonce.ErrTTL)
				if next != "" || errors.Is(err, dpopnonce.ErrRejected) {
					t.Fatalf("Rotate: %q, %v", next, err)
				}
			}
		}
		if all := sent(); len(all) > 0 {
			t.Fatalf("sent %q", all)
		}
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "the longest ttl works", run: func(t *testing.T, e *env) {
		const longest = time.Duration(math.MaxInt64)
		nonce := e.issue(t, longest)
		next, err := e.Rotate(ctx, nonce, longest)
		wantIs(t, err, nil)
		wantIs(t, e.Consume(ctx, next, longest), nil)
	}},
	{name: "fractions of a ttl are floored", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, 2*time.Second-1)
		e.clock.Set(noon.Add(time.Second))
		wantIs(t, e.consume(nonce), dpopnonce.ErrExpired)
	}},
}

var insertCases = []testCase{
	{name: "a row keeps its id or gets a UUIDv7, and is stored as it is returned", run: func(t *testing.T, e *env) {
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
	}},
	{name: "a duplicate is ErrDuplicate and leaves a transaction usable, TranslateError off", run: duplicate(false)},
	{name: "a duplicate is ErrDuplicate and leaves a transaction usable, TranslateError on", run: duplicate(true)},
	{name: "of many inserts of one nonce one succeeds and the others are ErrDuplicate", run: func(t *testing.T, e *env) {
		connect(t, e.db)
		wins := 0
		for _, err := range race(callers, func(int) error {
			_, err := e.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
			return err
		}) {
			if err == nil {
				wins++
				continue
			}
			wantIs(t, err, dpopnonce.ErrDuplicate)
		}
		if wins != 1 || e.count(t, "nonce = ?", "same") != 1 {
			t.Fatalf("%d inserts succeeded", wins)
		}
	}},
	{name: "a row that is inserted again, id and all, is ErrDuplicate", run: func(t *testing.T, e *env) {
		c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{ID: uuid.New()},
			dpopnonce.IssueAttrs{Nonce: "again", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)})
		_, err := e.Insert(ctx, c)
		wantIs(t, err, nil)
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			_, err := e.WithTx(tx).Insert(ctx, c)
			wantIs(t, err, dpopnonce.ErrDuplicate)
			return e.WithTx(tx).Consume(ctx, "again", time.Minute)
		}), nil)
	}},
	{name: "a colliding id is a failure and no duplicate", run: func(t *testing.T, e *env) {
		row, err := e.Insert(ctx, changeset("first", noon, noon.Add(time.Minute)))
		wantIs(t, err, nil)
		_, err = e.Insert(ctx, dpopnonce.IssueChangeset(row,
			dpopnonce.IssueAttrs{Nonce: "second", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}))
		if err == nil || errors.Is(err, dpopnonce.ErrDuplicate) {
			t.Fatalf("got %v", err)
		}
		if e.count(t, "1 = 1") != 1 {
			t.Fatal("the second row was stored")
		}
	}},
	{name: "a changeset that is invalid or of another kind never reaches the database", run: func(t *testing.T, e *env) {
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
		if all := sent(); len(all) > 0 {
			t.Fatalf("sent %q", all)
		}
	}},
	{
		name:  "rows of db.Create get a UUIDv7 and are judged in UTC",
		needs: func(f features) bool { return f.bindsUTC && f.hooks },
		run: func(t *testing.T, e *env) {
			for _, zone := range []*time.Location{time.FixedZone("east", 9*3600), time.FixedZone("west", -5*3600)} {
				row := dpopnonce.DPoPNonce{
					Nonce:     "created-" + zone.String(),
					IssuedAt:  noon.Add(time.Second / 2).In(zone),
					ExpiresAt: noon.Add(time.Minute + time.Second/2).In(zone),
				}
				if err := e.db.Session(&gorm.Session{NewDB: true}).Table(e.table).Create(&row).Error; err != nil {
					t.Fatal(err)
				}
				used := noon.Add(time.Second / 2).In(zone)
				spent := dpopnonce.DPoPNonce{Nonce: "spent-" + zone.String(), IssuedAt: row.IssuedAt, ExpiresAt: row.ExpiresAt, UsedAt: &used}
				if err := e.db.Session(&gorm.Session{NewDB: true}).Table(e.table).Create(&spent).Error; err != nil {
					t.Fatal(err)
				}
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
		},
	},
}

func duplicate(translate bool) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		db := e.db.Session(&gorm.Session{NewDB: true})
		db.TranslateError = translate
		r := e.repository(t, db)
		again := changeset("Taken'nonce", noon, noon.Add(time.Minute))
		_, err := r.Insert(ctx, again)
		wantIs(t, err, nil)
		check := func(err error) {
			t.Helper()
			wantIs(t, err, dpopnonce.ErrDuplicate)
			var invalid *dpopnonce.ValidationError
			if !errors.As(err, &invalid) || len(invalid.Errors) != 1 ||
				invalid.Errors[0] != (dpopnonce.FieldError{Field: "nonce", Message: "has already been taken"}) {
				t.Fatalf("got %#v", err)
			}
			if strings.Contains(err.Error(), "Taken") {
				t.Fatalf("the error prints the nonce: %v", err)
			}
		}
		_, err = r.Insert(ctx, again)
		check(err)
		wantIs(t, db.Transaction(func(tx *gorm.DB) error {
			_, err := r.WithTx(tx).Insert(ctx, again)
			check(err)
			_, err = r.WithTx(tx).Insert(ctx, changeset("after", noon, noon.Add(time.Minute)))
			return err
		}), nil)
		wantIs(t, r.Consume(ctx, "after", time.Minute), nil)
	}
}
