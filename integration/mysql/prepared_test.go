package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"github.com/attesto/dpopnonce/integration/wire"
	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

// openCounted returns a pool of one connection, and the round trips on it.
func openCounted(t *testing.T) (*sql.DB, *atomic.Int64) {
	t.Helper()
	config, err := driver.ParseDSN(dbtest.NewMySQL(t))
	if err != nil {
		t.Fatal(err)
	}
	dial, trips := wire.Dial((&net.Dialer{}).DialContext)
	config.DialFunc = dial
	connector, err := driver.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(1)
	return pool, trips
}

func TestCallsTakeExpectedRoundTrips(t *testing.T) {
	ctx := t.Context()
	pool, trips := openCounted(t)
	r := dbtest.Repository(t, dbtest.Open(t, mysql.New(mysql.Config{Conn: pool})))
	var nonce string
	calls := []struct {
		name string
		call func() error
		want error
		n    int64
	}{
		{"Issue", func() (err error) { nonce, err = r.Issue(ctx, time.Minute); return err }, nil, 1},
		{"Check", func() error { return r.Check(ctx, nonce, time.Minute) }, nil, 1},
		{"Rotate", func() (err error) { nonce, err = r.Rotate(ctx, nonce, time.Minute); return err }, nil, 2},
		{"Consume", func() error { return r.Consume(ctx, nonce, time.Minute) }, nil, 1},
		{"Consume, rejected", func() error { return r.Consume(ctx, nonce, time.Minute) }, dpopnonce.ErrUsed, 2},
		{"Rotate, rejected", func() error { _, err := r.Rotate(ctx, nonce, time.Minute); return err }, dpopnonce.ErrUsed, 3},
		{"Sweep", func() error { _, err := r.Sweep(ctx); return err }, nil, 1},
	}
	for round := range 3 { // the first one prepares the statements
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
}

func TestSharedCallsTakeExpectedRoundTrips(t *testing.T) {
	const callers = 24
	ctx := t.Context()
	pool, trips := openCounted(t)
	var wanted atomic.Int64
	r := dbtest.Repository(t, dbtest.Open(t, mysql.New(mysql.Config{Conn: pool})), dpopnonce.WithGroupCommit(),
		dpopnonce.WithObserver(func(_ context.Context, e dpopnonce.Event) {
			switch {
			case e.Operation == "rotate" && e.Shared > 1: // BEGIN with its level, INSERT, SELECT, UPDATE, COMMIT
				wanted.Add(int64(6 * 1000 / e.Shared))
			case e.Operation == "rotate":
				wanted.Add(2 * 1000)
			}
		}))
	var n, want int64 = 1, 0
	for round := 0; n != want && round < 20; round++ { // a batch of another size prepares its own statements
		var nonces [callers]string
		for i := range nonces {
			var err error
			if nonces[i], err = r.Issue(ctx, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		conn, err := pool.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		before := trips.Load()
		wanted.Store(0)
		waited := pool.Stats().WaitCount
		done := make(chan error, callers)
		for _, nonce := range nonces {
			go func() {
				_, err := r.Rotate(ctx, nonce, time.Minute)
				done <- err
			}()
		}
		for pool.Stats().WaitCount < waited+8+1 { // those that go alone, and a shared call
			runtime.Gosched()
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		for range callers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		n, want = trips.Load()-before, (wanted.Load()+999)/1000
	}
	if n != want {
		t.Errorf("%d round trips, want %d", n, want)
	}
}

// What the session's settings say is looked at in each run of a statement.
func TestPreparedStatementsSeeAutocommit(t *testing.T) {
	ctx := context.Background()
	table := dbtest.Name(t)
	good := open(t, table, dbtest.MySQL(t))
	db := dbtest.Open(t, mysql.Open(dbtest.MySQL(t)))
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithTable(table))
	if err != nil {
		t.Fatal(err)
	}
	var nonce string
	for _, setting := range []string{"1", "0"} {
		exec(t, db, "SET autocommit = "+setting)
		if nonce, err = r.Issue(ctx, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := r.Consume(ctx, nonce, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	if err := wantUsed(good.Consume(ctx, nonce, time.Minute)); err != nil {
		t.Error(err)
	}
}

func TestPreparedStatementsFollowTheTable(t *testing.T) {
	ctx := t.Context()
	db := dbtest.Open(t, mysql.Open(dbtest.NewMySQL(t)))
	r := dbtest.Repository(t, db)
	rotate := func() error {
		nonce, err := r.Issue(ctx, time.Minute)
		if err == nil {
			_, err = r.Rotate(ctx, nonce, time.Minute)
		}
		return err
	}
	for _, c := range []struct{ ddl, want string }{
		{"SELECT 1", ""},
		{"ALTER TABLE dpop_nonces ADD COLUMN tenant int", ""},
		{"ALTER TABLE dpop_nonces MODIFY nonce varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL", ""},
		{"DROP INDEX dpop_nonces_nonce_index ON dpop_nonces", "unique index"},
		{"CREATE UNIQUE INDEX dpop_nonces_nonce_index ON dpop_nonces (nonce)", ""},
		{"DROP TABLE dpop_nonces", "doesn't exist"},
	} {
		exec(t, db, c.ddl)
		if err := rotate(); err == nil && c.want != "" || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("after %s: %v", c.ddl, err)
		}
	}
}

// The limit of a server's prepared statements is that of all: this test has a
// server of its own.
func TestPreparedStatementsAreGivenBack(t *testing.T) {
	const own, callers = "DPOPNONCE_OWN_SERVER", 8
	if os.Getenv(own) == "" {
		dbtest.MySQL(t) // or skip
		cmd := osexec.Command("../../scripts/with-databases", os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), own+"=1", "MYSQL_DSN=", "POSTGRES_DSN=none")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	admin := dbtest.Open(t, mysql.Open(dbtest.MySQL(t)))
	count := func() (n int) {
		t.Helper()
		var name string
		if err := admin.Raw("SHOW GLOBAL STATUS LIKE 'Prepared_stmt_count'").Row().Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	db := dbtest.Open(t, mysql.Open(dbtest.MySQL(t)))
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxIdleConns(callers)
	// use makes a call of each kind.
	use := func(r *dpopnonce.Repository) error {
		nonce, err := r.Issue(ctx, time.Minute)
		if err == nil {
			err = r.Check(ctx, nonce, time.Minute)
		}
		if err == nil {
			err = r.Consume(ctx, nonce, time.Minute)
		}
		return err
	}
	wants := func(want int) {
		t.Helper()
		for count() != want {
			if ctx.Err() != nil {
				t.Fatalf("%d statements are prepared, want %d", count(), want)
			}
			runtime.GC()
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	r := dbtest.Repository(t, db)
	must(use(r))
	if n := count(); n != 3 {
		t.Errorf("%d statements are prepared, want 3", n)
	}

	// Of a repository that was collected.
	must(use(dbtest.Repository(t, db)))
	wants(3)

	// Texts that a plugin makes are not ours to keep.
	n := 0
	comment := func(tx *gorm.DB) { n++; fmt.Fprintf(&tx.Statement.SQL, " -- trace %d", n) }
	must(db.Callback().Raw().Before("gorm:raw").Register("test:comment", comment))
	must(use(r))
	must(db.Callback().Raw().Remove("test:comment"))
	wants(3)

	// A server that keeps no more, while all are in use.
	for count() < 2*callers {
		each(t, callers, func(int) error { return use(r) })
	}
	exec(t, admin, fmt.Sprint("SET GLOBAL max_prepared_stmt_count = ", 2*callers))
	each(t, callers, func(i int) error {
		for n := range 20 {
			if err := use(r); err != nil {
				return err
			}
			if i == 0 && n == 10 {
				if _, err := r.Sweep(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
	wants(0)
}
