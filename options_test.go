package dpopnonce_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

func TestNewRepositoryRefusesBadArguments(t *testing.T) {
	db := openSQLite(t)
	for name, c := range map[string]struct {
		db   *gorm.DB
		opts []dpopnonce.Option
	}{
		"nil db":               {nil, nil},
		"db that is not open":  {&gorm.DB{}, nil},
		"DryRun":               {db.Session(&gorm.Session{DryRun: true}), nil},
		"nil option":           {db, []dpopnonce.Option{nil}},
		"nil dialect":          {db, []dpopnonce.Option{dpopnonce.WithDialect(nil)}},
		"nil clock":            {db, []dpopnonce.Option{dpopnonce.WithClock(nil)}},
		"sweep batch of 0":     {db, []dpopnonce.Option{dpopnonce.WithSweepBatch(0)}},
		"negative sweep batch": {db, []dpopnonce.Option{dpopnonce.WithSweepBatch(-1)}},
		"nil observer":         {db, []dpopnonce.Option{dpopnonce.WithObserver(nil)}},
		"empty table":          {db, []dpopnonce.Option{dpopnonce.WithTable("")}},
		"table with a quote":   {db, []dpopnonce.Option{dpopnonce.WithTable(`a"b`)}},
		"table with a value":   {db, []dpopnonce.Option{dpopnonce.WithTable("a@now")}},
		"three parts":          {db, []dpopnonce.Option{dpopnonce.WithTable("a.b.c")}},
		"no statement":         {db, []dpopnonce.Option{dpopnonce.WithDialect(altered{Dialect: dialects.SQLite()})}},
		"unknown value":        {db, []dpopnonce.Option{dpopnonce.WithDialect(altered{Dialect: dialects.SQLite(), verdict: "SELECT @nonsense"})}},
		"another's value":      {db, []dpopnonce.Option{dpopnonce.WithDialect(altered{Dialect: dialects.SQLite(), verdict: "SELECT @limit"})}},
		"unknown name":         {db, []dpopnonce.Option{dpopnonce.WithDialect(altered{Dialect: dialects.SQLite(), verdict: "SELECT 1, 1 FROM {tabel}"})}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := dpopnonce.NewRepository(c.db, c.opts...)
			if err == nil || r != nil {
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "dpopnonce: new repository: ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// altered is SQLite's dialect with another statement.
type altered struct {
	dialects.Dialect
	verdict string
}

func (a altered) SQL() dialects.SQL {
	s := dialects.SQLite().SQL()
	s.Verdict = a.verdict
	return s
}

func TestNewRepositoryDoesNoIO(t *testing.T) {
	db := openSQLite(t)
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Issue(context.Background(), time.Minute); err == nil {
		t.Fatal("a closed pool works")
	}
	for _, ddl := range r.Schema() {
		if !strings.Contains(ddl, "dpop_nonces") {
			t.Errorf("DDL %s", ddl)
		}
	}
}

func TestDefaultClockIsTheConfigs(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	now := noon
	db.NowFunc = func() time.Time { return now.In(tokyo) }
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now = noon.Add(time.Minute)
	if err := r.Consume(ctx, nonce, time.Hour); err != dpopnonce.ErrExpired {
		t.Fatalf("got %v", err)
	}
	now = noon.Add(59 * time.Second)
	if err := r.Consume(ctx, nonce, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func TestNilContextIsAnError(t *testing.T) {
	db := openSQLite(t)
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "test", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string][]dpopnonce.Option{
		"stored":       nil,
		"group commit": {dpopnonce.WithGroupCommit()},
		"sealed":       {dpopnonce.WithSealer(sealer)},
	} {
		r, err := dpopnonce.NewRepository(db, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Migrate(context.Background()); err != nil {
			t.Fatal(err)
		}
		nonce, err := r.Issue(context.Background(), dpopnonce.DefaultTTL)
		if err != nil {
			t.Fatal(err)
		}
		var none context.Context
		for call, do := range map[string]func() error{
			"Migrate":    func() error { return r.Migrate(none) },
			"Issue":      func() error { _, err := r.Issue(none, dpopnonce.DefaultTTL); return err },
			"Insert":     func() error { _, err := r.Insert(none, valid()); return err },
			"Check":      func() error { return r.Check(none, nonce, dpopnonce.DefaultTTL) },
			"Consume":    func() error { return r.Consume(none, nonce, dpopnonce.DefaultTTL) },
			"Rotate":     func() error { _, err := r.Rotate(none, "", dpopnonce.DefaultTTL); return err },
			"Spend":      func() error { return r.Spend(none, "proof", time.Now().Add(time.Minute)) },
			"Sweep":      func() error { _, err := r.Sweep(none); return err },
			"SweepLag":   func() error { _, err := r.SweepLag(none); return err },
			"SweepEvery": func() error { return r.SweepEvery(none, time.Minute) },
		} {
			if err := do(); err == nil || !strings.HasSuffix(err.Error(), "nil context") {
				t.Errorf("%s, %s: got %v", name, call, err)
			}
		}
		if err := r.Consume(context.Background(), nonce, dpopnonce.DefaultTTL); err != nil {
			t.Errorf("%s: the nonce is spent: %v", name, err)
		}
	}
}

func valid() dpopnonce.Changeset {
	now := time.Now()
	return dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{}, dpopnonce.IssueAttrs{Nonce: "nonce", IssuedAt: now, ExpiresAt: now.Add(time.Minute)})
}
