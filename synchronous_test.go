package dpopnonce_test

import (
	"context"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// On PostgreSQL an issued nonce may be on its way to disk when Issue returns;
// an acceptance may not.
func TestAcceptancesAreOnDiskWhenReturned(t *testing.T) {
	ctx := context.Background()
	db, r := onOneConnection(t)
	lsn := func(function string) (position string) {
		t.Helper()
		if err := db.Raw("SELECT " + function + "()").Row().Scan(&position); err != nil {
			t.Fatal(err)
		}
		return position
	}
	// flushed reports whether what call wrote is on disk after it.
	flushed := func(call func() error) (is bool) {
		t.Helper()
		before := lsn("pg_current_wal_insert_lsn")
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if err := db.Raw("SELECT pg_current_wal_flush_lsn() > ?::pg_lsn", before).Row().Scan(&is); err != nil {
			t.Fatal(err)
		}
		return is
	}
	var nonce string
	issue := func() (err error) { nonce, err = r.Issue(ctx, time.Minute); return err }
	consume := func() error { return r.Consume(ctx, nonce, time.Minute) }
	rotate := func() (err error) { nonce, err = r.Rotate(ctx, nonce, time.Minute); return err }
	later := 0
	for i := 0; i < 50; i++ {
		if !flushed(issue) {
			later++
		}
		if !flushed(rotate) {
			t.Fatal("Rotate returned before its commit was on disk")
		}
		if !flushed(consume) {
			t.Fatal("Consume returned before its commit was on disk")
		}
	}
	if later == 0 {
		t.Error("Issue waited for the disk every time: this test cannot tell")
	}
}

func TestIssueChangesNoSettingOfItsConnection(t *testing.T) {
	ctx := context.Background()
	db, r := onOneConnection(t)
	wantOn := func(db *gorm.DB) {
		t.Helper()
		var setting string
		if err := db.Raw("SHOW synchronous_commit").Row().Scan(&setting); err != nil || setting != "on" {
			t.Fatalf("synchronous_commit = %q, %v", setting, err)
		}
	}
	issue := func(r *dpopnonce.Repository) {
		t.Helper()
		if _, err := r.Issue(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	issue(r)
	wantOn(db)
	if err := db.Transaction(func(tx *gorm.DB) error {
		issue(r.WithTx(tx))
		wantOn(tx)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Connection(func(conn *gorm.DB) error {
		if err := conn.Exec("BEGIN").Error; err != nil {
			return err
		}
		issue(r.WithTx(conn))
		wantOn(conn)
		return conn.Exec("COMMIT").Error
	}); err != nil {
		t.Fatal(err)
	}
	wantOn(db)
}

func onOneConnection(t *testing.T) (*gorm.DB, *dpopnonce.Repository) {
	t.Helper()
	db := openSchema(t)
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	return db, migrate(t, db)
}
