// Package timezone runs nodes in different time zones.
package timezone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // without zone data on the machine Go falls back to UTC

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// TestMain runs a node where NODE is set: it makes one call and prints the result.
func TestMain(m *testing.M) {
	if os.Getenv("NODE") == "" {
		os.Exit(m.Run())
	}
	if err := node(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// node makes a call at the given instant, with a clock in its own zone.
func node(dsn, now, call string, args []string) error {
	at, err := time.Parse(time.RFC3339Nano, now)
	if err != nil {
		return err
	}
	if name, offset := at.Local().Zone(); offset == 0 {
		return fmt.Errorf("the node runs in %s", name)
	}
	dialector := sqlite.Open(dsn)
	if strings.HasPrefix(dsn, "postgres") {
		dialector = postgres.Open(dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard, NowFunc: at.Local})
	if err != nil {
		return err
	}
	r, err := dpopnonce.NewRepository(db)
	if err != nil {
		return err
	}
	ctx := context.Background()
	switch call {
	case "issue":
		if err := r.Migrate(ctx); err != nil {
			return err
		}
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			return err
		}
		fmt.Println(nonce)
	case "create":
		return db.Create(&dpopnonce.DPoPNonce{Nonce: args[0], IssuedAt: at.Local(), ExpiresAt: at.Local().Add(time.Minute)}).Error
	case "consume":
		ttl, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		fmt.Println(outcome(r.Consume(ctx, args[0], ttl)))
	}
	return nil
}

func outcome(err error) string {
	switch err {
	case nil:
		return "accepted"
	case dpopnonce.ErrExpired:
		return "expired"
	case dpopnonce.ErrUsed:
		return "used"
	default:
		return err.Error()
	}
}

func TestNodesInDifferentZonesAgree(t *testing.T) {
	for name, dsn := range map[string]func(*testing.T) string{
		"sqlite": func(t *testing.T) string {
			return "file:" + dbtest.SQLite(t) + "?_journal_mode=WAL&_busy_timeout=10000"
		},
		"postgres": func(t *testing.T) string {
			admin := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
			schema := dbtest.Name(t)
			if err := admin.Exec("CREATE SCHEMA " + schema).Error; err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { admin.Exec("DROP SCHEMA " + schema + " CASCADE") })
			return dbtest.Postgres(t, "search_path="+schema)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := dsn(t)
			// New York's clocks change at 07:00 UTC on this day.
			issued := time.Date(2026, 3, 8, 6, 59, 30, 1e8, time.UTC)
			run := func(zone string, at time.Time, call ...string) string {
				t.Helper()
				args := append([]string{dsn, at.Format(time.RFC3339Nano)}, call...)
				cmd := exec.Command(os.Args[0], args...)
				cmd.Env = append(os.Environ(), "NODE=1", "TZ="+zone)
				out, err := cmd.Output()
				if err != nil {
					var exit *exec.ExitError
					if errors.As(err, &exit) {
						t.Fatalf("%s: %s", call, exit.Stderr)
					}
					t.Fatal(err)
				}
				return strings.TrimSpace(string(out))
			}
			nonces := []string{run("Asia/Tokyo", issued, "issue"), "created"}
			run("Asia/Tokyo", issued, "create", "created")
			for _, nonce := range nonces {
				for _, step := range []struct {
					after time.Duration
					ttl   string
					want  string
				}{
					{time.Minute, "1h", "expired"},
					{59 * time.Second, "58s", "expired"},
					{59 * time.Second, "59s", "accepted"},
					{59 * time.Second, "1h", "used"},
				} {
					if got := run("America/New_York", issued.Add(step.after), "consume", nonce, step.ttl); got != step.want {
						t.Errorf("after %v with a ttl of %s: %s, want %s", step.after, step.ttl, got, step.want)
					}
				}
			}
		})
	}
}
