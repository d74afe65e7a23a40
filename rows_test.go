package dpopnonce_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// GORM returns rows beside the error of a callback.
func TestConnectionOfFailedCallbackIsGivenBack(t *testing.T) {
	ctx := context.Background()
	for name, callback := range map[string]func(*gorm.DB){
		"error":   func(db *gorm.DB) { _ = db.AddError(errors.New("refused")) },
		"panic":   func(*gorm.DB) { panic("refused") },
		"no rows": func(db *gorm.DB) { closeRows(db); db.Statement.Dest = nil },
	} {
		callback := callback
		t.Run(name, func(t *testing.T) {
			db := openSQLite(t)
			r := migrate(t, db)
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Callback().Row().After("gorm:row").Register("test:fails", callback); err != nil {
				t.Fatal(err)
			}
			wantNoConnection(t, db, func() error { return r.Check(ctx, nonce, time.Minute) })
			wantNoConnection(t, db, func() error { return r.Consume(ctx, "never-issued", time.Minute) })
			wantNoConnection(t, db, func() error { _, err := r.SweepLag(ctx); return err })
		})
	}
}

func closeRows(db *gorm.DB) {
	if rows, are := db.Statement.Dest.(interface{ Close() error }); are {
		_ = rows.Close()
	}
}

type panickingLogger struct{ logger.Interface }

func (l panickingLogger) LogMode(logger.LogLevel) logger.Interface { return l }

func (panickingLogger) Trace(context.Context, time.Time, func() (string, int64), error) {
	panic("full")
}

func TestConnectionOfPanickingLoggerIsGivenBack(t *testing.T) {
	db := openSQLite(t)
	r := migrate(t, db)
	r, err := dpopnonce.NewRepository(db.Session(&gorm.Session{Logger: panickingLogger{logger.Discard}}))
	if err != nil {
		t.Fatal(err)
	}
	wantNoConnection(t, db, func() error { return r.Check(context.Background(), "never-issued", time.Minute) })
}

// wantNoConnection wants call to fail or panic, and none to be in use.
func wantNoConnection(t *testing.T, db *gorm.DB, call func() error) {
	t.Helper()
	func() {
		defer func() { _ = recover() }()
		if err := call(); err == nil || errors.Is(err, dpopnonce.ErrRejected) {
			t.Errorf("got %v, want a failure", err)
		}
	}()
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	if n := pool.Stats().InUse; n > 0 {
		t.Errorf("%d connections in use", n)
	}
}

// A statement that is not sent changes no row, as a replay does.
func TestDryRunOfCallbackIsNoReplay(t *testing.T) {
	ctx, until := context.Background(), time.Now().Add(time.Minute)
	db := openSQLite(t)
	r := migrate(t, db)
	if err := r.Spend(ctx, "first", until); err != nil {
		t.Fatal(err)
	}
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:dry", func(db *gorm.DB) { db.DryRun = true }); err != nil {
		t.Fatal(err)
	}
	if err := r.Spend(ctx, "second", until); !errors.Is(err, gorm.ErrDryRunModeUnsupported) {
		t.Errorf("got %v", err)
	}
}
