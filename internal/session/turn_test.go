package session

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

func TestLongTurnIsPassedOver(t *testing.T) {
	l := &line{turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	l.since.Store(time.Now().Add(-patience).UnixNano())
	if took, err := l.wait(context.Background()); took || err != nil {
		t.Fatal(took, err)
	}
	<-l.turn
	if took, err := l.wait(context.Background()); !took || err != nil {
		t.Fatal(took, err)
	}
}

func TestTurnIsGivenBack(t *testing.T) {
	db, pool := openSQLite(t)
	sql, err := dialects.Statements(dialects.SQLite(), dialects.Table{Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	s := New(db, dialects.SQLite(), sql, dialects.Table{Name: "t"})
	act := func() {}
	if err := db.Callback().Raw().Before("gorm:raw").Register("test:act", func(*gorm.DB) { act() }); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for name, end := range map[string]func(){
		"panic":  func() { panic("callback") },
		"Goexit": runtime.Goexit,
		"error":  func() {}, // there is no table
	} {
		for way, do := range map[string]func(context.Context, func(Conn) error) (int, error){"statement": s.Do, "transaction": s.Transaction, "DDL": s.DDL} {
			act = func() {
				if lines.of[pool] == nil {
					t.Errorf("%s, %s: no turn was taken", name, way)
				}
				end()
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = recover() }()
				_, _ = do(ctx, func(c Conn) error {
					if way == "DDL" {
						return c.DDL("DROP TABLE t")
					}
					_, err := c.Exec(sql.Sweep, Values{"now", "", "limit", 1})
					return err
				})
			}()
			<-done
			if len(lines.of) != 0 {
				t.Errorf("%s, %s: the turn was not given back", name, way)
			}
		}
	}

	ended, end := context.WithCancel(ctx)
	end()
	giveBack, err := s.takeTurn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.takeTurn(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	giveBack()
	if len(lines.of) != 0 {
		t.Error("the one that left is still there")
	}
}
