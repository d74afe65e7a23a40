package session

import (
	"context"
	"testing"
	"time"

	"gorm.io/gorm"
)

func TestResultWaitsForNoOtherCallersStatement(t *testing.T) {
	db, pool := openSQLite(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pool.SetMaxOpenConns(1)
	for name, conns := range map[string]gorm.ConnPool{
		"a pool":              pool,
		"prepared statements": db.Session(&gorm.Session{PrepareStmt: true}).Statement.ConnPool,
	} {
		t.Run(name, func(t *testing.T) {
			result, err := unlocked{conns, pool}.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS t (x)")
			if err != nil {
				t.Fatal(err)
			}
			other, err := pool.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			err = other.Raw(func(any) error { // the connection is locked, as for a statement
				read := make(chan error, 1)
				go func() {
					_, err := result.RowsAffected()
					read <- err
				}()
				select {
				case err := <-read:
					return err
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
