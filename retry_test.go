package dpopnonce_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// sqlState is an error of PostgreSQL.
type sqlState string

func (e sqlState) Error() string    { return "SQLSTATE " + string(e) }
func (e sqlState) SQLState() string { return string(e) }

// failing makes the statements that change rows fail with err for as long as
// it says so, and returns how many it saw.
func failing(t *testing.T, db *gorm.DB, err func(attempt int, tx *gorm.DB) error) *int {
	t.Helper()
	attempts := new(int)
	fail := func(tx *gorm.DB) {
		sql := tx.Statement.SQL.String()
		if !strings.HasPrefix(sql, "UPDATE") && !strings.HasPrefix(sql, "WITH") && !strings.HasPrefix(sql, "INSERT") {
			return
		}
		*attempts++
		if e := err(*attempts, tx); e != nil {
			_ = tx.AddError(e)
		}
	}
	if e := db.Callback().Raw().Before("gorm:raw").Register("test:fail", fail); e != nil {
		t.Fatal(e)
	}
	if e := db.Callback().Row().Before("gorm:row").Register("test:fail", fail); e != nil {
		t.Fatal(e)
	}
	return attempts
}

func TestLockTimeoutsAreRepeatedTenTimes(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	r := migrate(t, db)
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	busy := errors.New("database is locked")
	free := 12
	attempts := failing(t, db, func(n int, _ *gorm.DB) error {
		if n < free {
			return busy
		}
		return nil
	})
	if err := r.Consume(ctx, nonce, time.Minute); !errors.Is(err, busy) || errors.Is(err, dpopnonce.ErrRejected) || *attempts != 11 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
	*attempts, free = 0, 11
	if err := r.Consume(ctx, nonce, time.Minute); err != nil || *attempts != 11 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
}

func TestErrorThatHoldsTheNonceIsRepeated(t *testing.T) {
	db := openSQLite(t)
	r := migrate(t, db)
	attempts := failing(t, db, func(int, *gorm.DB) error { return errors.New("database is locked") })
	err := r.Consume(context.Background(), "locked-database", time.Minute)
	if *attempts != 11 || strings.Contains(err.Error(), "locked") {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
}

func TestBrokenConnectionsAreRepeatedThreeTimes(t *testing.T) {
	ctx := context.Background()
	db := openSQLite(t)
	migrate(t, db)
	var text bytes.Buffer
	quiet := db.Session(&gorm.Session{Logger: logger.New(log.New(&text, "", 0), logger.Config{LogLevel: logger.Error})})
	r, err := dpopnonce.NewRepository(quiet)
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	sound := 4
	attempts := failing(t, db, func(n int, _ *gorm.DB) error {
		if n < sound {
			return driver.ErrBadConn
		}
		return nil
	})
	if err := r.Consume(ctx, nonce, time.Minute); err != nil || *attempts != 4 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
	if text.Len() > 0 {
		t.Errorf("logged: %s", &text)
	}
	*attempts, sound = 0, 100
	if _, err := r.Issue(ctx, time.Minute); !errors.Is(err, driver.ErrBadConn) || *attempts != 4 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
}

func TestSerializationFailuresAreRepeatedUntilContextEnds(t *testing.T) {
	db := openSchema(t)
	r := migrate(t, db)
	ctx, cancel := context.WithCancel(context.Background())
	attempts := failing(t, db, func(n int, _ *gorm.DB) error {
		if n == 15 {
			cancel()
		}
		return sqlState("40001")
	})
	_, err := r.Issue(ctx, time.Minute)
	var state sqlState
	if !errors.Is(err, context.Canceled) || !errors.As(err, &state) || *attempts != 15 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
}

func TestDeadlockAfterSerializationFailuresIsRepeated(t *testing.T) {
	db := openSchema(t)
	r := migrate(t, db)
	failing(t, db, func(n int, _ *gorm.DB) error {
		switch {
		case n <= 12:
			return sqlState("40001")
		case n <= 22:
			return sqlState("40P01")
		}
		return nil
	})
	if _, err := r.Issue(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestRepetitionsRunAtReadCommitted(t *testing.T) {
	ctx := context.Background()
	postgresDB := open(t, postgres.Open(postgresDSN(t)+"&default_transaction_isolation=serializable"))
	name := "retry_at_read_committed"
	r, err := dpopnonce.NewRepository(postgresDB, dpopnonce.WithTable(name))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { postgresDB.Exec("DROP TABLE " + name) })
	var levels []string
	failing(t, postgresDB, func(n int, tx *gorm.DB) error {
		var level string
		if err := tx.Statement.ConnPool.QueryRowContext(ctx, "SHOW transaction_isolation").Scan(&level); err != nil {
			return err
		}
		levels = append(levels, level)
		if n%2 == 1 {
			return sqlState("40001")
		}
		return nil
	})
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if nonce, err = r.Rotate(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := r.Consume(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(levels, ", "); got != strings.Repeat("serializable, read committed, ", 2)+"serializable, read committed" {
		t.Errorf("ran at %s", got)
	}
}

func TestNothingIsRepeatedInCallersTransaction(t *testing.T) {
	db := openSQLite(t)
	r := migrate(t, db)
	busy := errors.New("database is locked")
	attempts := failing(t, db, func(int, *gorm.DB) error { return busy })
	err := db.Transaction(func(tx *gorm.DB) error {
		return r.WithTx(tx).Consume(context.Background(), "nonce", time.Minute)
	})
	if !errors.Is(err, busy) || *attempts != 1 {
		t.Fatalf("%d attempts, %v", *attempts, err)
	}
}
