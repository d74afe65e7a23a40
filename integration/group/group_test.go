// Package group runs two processes with group commit on the same nonces.
package group

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// TestMain runs one process of the test where NODE is set.
func TestMain(m *testing.M) {
	if os.Getenv("NODE") == "" {
		os.Exit(m.Run())
	}
	if err := node(os.Getenv("NODE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const callers = 64

// node consumes or rotates each nonce that it reads, in random order, and prints
// how many were accepted.
func node(dsn string) error {
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	pool.SetMaxIdleConns(callers)
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithGroupCommit())
	if err != nil {
		return err
	}
	var nonces []string
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		nonces = append(nonces, in.Text())
	}
	rand.Shuffle(len(nonces), func(i, j int) { nonces[i], nonces[j] = nonces[j], nonces[i] })
	var next, accepted atomic.Int64
	errs := make([]error, callers)
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= len(nonces) {
					return
				}
				var err error
				if n%2 == 0 {
					err = r.Consume(context.Background(), nonces[n], time.Hour)
				} else {
					_, err = r.Rotate(context.Background(), nonces[n], time.Hour)
				}
				if err == nil {
					accepted.Add(1)
				} else if !errors.Is(err, dpopnonce.ErrUsed) {
					errs[i] = err
					return
				}
			}
		})
	}
	done.Wait()
	fmt.Println(accepted.Load())
	return errors.Join(errors.Join(errs...), pool.Close())
}

func TestStatementsOfTwoProcessesNeverDeadlock(t *testing.T) {
	const nonces = 4000
	admin := dbtest.Open(t, postgres.Open(dbtest.Postgres(t)))
	database := dbtest.Name(t)
	if err := admin.Exec("CREATE DATABASE " + database).Error; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Exec("DROP DATABASE " + database + " WITH (FORCE)") })
	dsn := strings.Replace(dbtest.Postgres(t), "/dpopnonce?", "/"+database+"?", 1)
	db := dbtest.Open(t, postgres.Open(dsn))
	dbtest.Repository(t, db)
	err := db.Exec(`INSERT INTO dpop_nonces (id, nonce, issued_at, expires_at)
		SELECT gen_random_uuid(), md5(i::text), now(), now() + interval '1 hour' FROM generate_series(1, ?) AS i`, nonces).Error
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := db.Raw("SELECT nonce FROM dpop_nonces").Scan(&all).Error; err != nil {
		t.Fatal(err)
	}

	outputs := make([]string, 2)
	var done sync.WaitGroup
	for i := range outputs {
		done.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "NODE="+dsn)
			cmd.Stdin = strings.NewReader(strings.Join(all, "\n"))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err != nil {
				t.Error(err)
			}
			outputs[i] = string(out)
		})
	}
	done.Wait()
	var a, b int
	if _, err := fmt.Sscan(strings.Join(outputs, " "), &a, &b); err != nil {
		t.Fatal(err)
	}
	if a+b != nonces || a == 0 || b == 0 {
		t.Errorf("%d and %d accepted of %d nonces", a, b, nonces)
	}
	// Connections report their statistics when they end: these have ended.
	var deadlocks int
	if err := admin.Raw("SELECT deadlocks FROM pg_stat_database WHERE datname = ?", database).Row().Scan(&deadlocks); err != nil {
		t.Fatal(err)
	}
	if deadlocks > 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
}
