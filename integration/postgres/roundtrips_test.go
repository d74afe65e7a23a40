package postgres

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"github.com/attesto/dpopnonce/integration/wire"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func TestCallsTakeExpectedRoundTrips(t *testing.T) {
	config, err := pgx.ParseConfig(dbtest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	trips := wire.Count(config)
	pool := stdlib.OpenDB(*config)
	pool.SetMaxOpenConns(1)
	table := dbtest.Name(t)
	for name, opts := range map[string][]dpopnonce.Option{
		"plain":        {dpopnonce.WithTable(table)},
		"group commit": {dpopnonce.WithTable(table), dpopnonce.WithGroupCommit()},
	} {
		t.Run(name, func(t *testing.T) {
			// GORM's default transaction is on, and the library must not use it.
			db, err := gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{})
			if err != nil {
				t.Fatal(err)
			}
			r := dbtest.Repository(t, db, opts...)
			ctx := t.Context()
			var nonce string
			calls := []struct {
				name string
				call func() error
				want error
				n    int64
			}{
				{"Issue", func() (err error) { nonce, err = r.Issue(ctx, time.Minute); return err }, nil, 1},
				{"Check", func() error { return r.Check(ctx, nonce, time.Minute) }, nil, 1},
				{"Rotate", func() (err error) { nonce, err = r.Rotate(ctx, nonce, time.Minute); return err }, nil, 1},
				{"Consume", func() error { return r.Consume(ctx, nonce, time.Minute) }, nil, 1},
				{"Check, rejected", func() error { return r.Check(ctx, nonce, time.Minute) }, dpopnonce.ErrUsed, 1},
				{"Rotate, rejected", func() error { _, err := r.Rotate(ctx, nonce, time.Minute); return err }, dpopnonce.ErrUsed, 1},
				{"Consume, rejected", func() error { return r.Consume(ctx, nonce, time.Minute) }, dpopnonce.ErrUsed, 2},
			}
			for round := range 2 { // the first one prepares the statements
				for _, c := range calls {
					before := trips.Load()
					if err := c.call(); err != c.want {
						t.Fatalf("%s: got %v", c.name, err)
					}
					if n := trips.Load() - before; round > 0 && n != c.n {
						t.Errorf("%s: %d round trips, want %d", c.name, n, c.n)
					}
				}
			}
		})
	}
	if _, err := pool.Exec("DROP TABLE " + table); err != nil {
		t.Error(err)
	}
	if err := pool.Close(); err != nil {
		t.Error(err)
	}
}
