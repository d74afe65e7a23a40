package config

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// shift is what NowFunc adds to the time, so that its use shows in the rows.
const shift = time.Hour

// The suite sets table and clock of its repositories. Here both have the
// defaults.
func TestDefaultTableAndClockWork(t *testing.T) {
	for name, dialector := range map[string]func(testing.TB) gorm.Dialector{
		"sqlite": func(tb testing.TB) gorm.Dialector {
			return sqlite.Open("file:" + dbtest.SQLite(tb) + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")
		},
		"postgres": func(tb testing.TB) gorm.Dialector { return postgres.Open(dbtest.NewPostgres(tb)) },
		"mysql":    func(tb testing.TB) gorm.Dialector { return mysql.Open(dbtest.NewMySQL(tb)) },
	} {
		for n, set := range combinations() {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) { defaults(t, open(t, dialector(t), set)) })
		}
	}
}

func defaults(t *testing.T, db *gorm.DB) {
	ctx := t.Context()
	if err := db.AutoMigrate(&dpopnonce.DPoPNonce{}); err != nil {
		t.Fatal(err)
	}
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		t.Fatal(err)
	}
	seen := countCallbacks(t, db)
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	row, err := r.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: "inserted", IssuedAt: db.NowFunc(), ExpiresAt: db.NowFunc().Add(time.Minute)}))
	if err != nil {
		t.Fatal(err)
	}
	if next, err := r.Rotate(ctx, row.Nonce, time.Minute); err != nil || next == "" {
		t.Fatal(err)
	}
	if _, err := r.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	if len(*seen) > 0 {
		t.Errorf("statements of the library reached the application's callbacks: %v", *seen)
	}
	var issued time.Time
	if err := db.Raw("SELECT issued_at FROM dpop_nonces WHERE nonce = ?", nonce).Row().Scan(&issued); err != nil {
		t.Fatal(err)
	}
	if late := db.NowFunc().Sub(issued); late < 0 || late > time.Minute {
		t.Errorf("issued_at %v, want NowFunc's %v", issued, db.NowFunc())
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, nonce, time.Minute); !errors.Is(err, dpopnonce.ErrUsed) {
		t.Fatal(err)
	}
	if db.Statement.SkipHooks { // a hook sets the row's id
		return
	}
	created := dpopnonce.DPoPNonce{Nonce: "created", IssuedAt: db.NowFunc(), ExpiresAt: db.NowFunc().Add(time.Minute)}
	if err := db.Create(&created).Error; err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, "created", time.Minute); err != nil {
		t.Fatal(err)
	}
}

// countCallbacks records the tables of statements that reach the callbacks.
func countCallbacks(t *testing.T, db *gorm.DB) *[]string {
	t.Helper()
	seen := new([]string)
	note := func(tx *gorm.DB) { *seen = append(*seen, tx.Statement.Table) }
	for _, err := range []error{
		db.Callback().Create().Before("*").Register("test:create", note),
		db.Callback().Query().Before("*").Register("test:query", note),
		db.Callback().Update().Before("*").Register("test:update", note),
		db.Callback().Delete().Before("*").Register("test:delete", note),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return seen
}
