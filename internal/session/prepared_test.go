package session

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// A statement may be given back between its look-up and its run.
func TestClosedStatementRunsAsItIs(t *testing.T) {
	ctx := context.Background()
	_, pool := openSQLite(t)
	const text = "SELECT 1 WHERE 1 = ?"
	p := newPrepared(pool, dialects.SQLite(), map[string]statement{"": parse("SELECT 1 WHERE 1 = @value")})
	for run := 0; run < 2; run++ {
		if _, err := p.ExecContext(ctx, text, 1); err != nil {
			t.Fatal(err)
		}
		rows, err := p.QueryContext(ctx, text, 1)
		if err != nil || !rows.Next() {
			t.Fatal(err)
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		s := p.statements[text].Load()
		if s == nil {
			t.Fatal("not prepared")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatementPreparedTwiceWaitsForNobody(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, pool := openSQLite(t)
	const text = "SELECT 1 WHERE 1 = ?"
	p := newPrepared(pool, dialects.SQLite(), map[string]statement{"": parse("SELECT 1 WHERE 1 = @value")})
	second, err := pool.PrepareContext(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	if p.statement(ctx, text) == nil {
		t.Fatal("not prepared")
	}
	conn, err := pool.Conn(ctx) // that of both
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(any) error { // it is locked, as for another caller's statement
		returned := make(chan struct{})
		go func() {
			p.statements[text].keep(second)
			close(returned)
		}()
		select {
		case <-returned:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// openSQLite returns a new database and its pool.
func openSQLite(t *testing.T) (*gorm.DB, *sql.DB) {
	t.Helper()
	db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "x.db")), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return db, pool
}
