package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Example is the snippet of README.md.
func Example() {
	db, remove := exampleDB()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	nonces, err := dpopnonce.NewRepository(db) // your *gorm.DB
	if err != nil {
		log.Fatal(err)
	}
	if err := nonces.Migrate(ctx); err != nil { // or any migration tool: nonces.Schema()
		log.Fatal(err)
	}
	go nonces.SweepEvery(ctx, time.Minute) // on as many nodes as you like

	// claim is the nonce of a proof, "" if it has none. Judge it last: the
	// signature, htm, htu and ath are verified.
	answer := func(claim string) (next string) {
		next, err := nonces.Rotate(ctx, claim, dpopnonce.DefaultTTL)
		switch {
		case err == nil:
			fmt.Println("200, DPoP-Nonce: next")
		case errors.Is(err, dpopnonce.ErrRejected): // 401 at a resource server
			fmt.Println("400 use_dpop_nonce, DPoP-Nonce: next;", err)
		default: // the store failed: no challenge, no pass
			fmt.Println("503")
		}
		return next
	}
	first := answer("")
	answer(first)
	answer(first)
	// Output:
	// 400 use_dpop_nonce, DPoP-Nonce: next; dpopnonce: nonce rejected: missing
	// 200, DPoP-Nonce: next
	// 400 use_dpop_nonce, DPoP-Nonce: next; dpopnonce: nonce rejected: already used
}

func TestREADMEShowsTheExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, snippet, _ := strings.Cut(string(readme), "```go\n")
	snippet, _, found := strings.Cut(snippet, "```")
	if !found {
		t.Fatal("README.md has no Go snippet")
	}
	rest := string(source)
	for _, line := range strings.Split(snippet, "\n") {
		_, rest, found = strings.Cut(rest, strings.TrimSpace(line))
		if !found {
			t.Fatalf("not in Example, or not in this order: %s", line)
		}
	}
}

// An authorization server's nonces are not a resource server's: each role has
// a repository on a table of its own.
func ExampleNewRepository() {
	db, remove := exampleDB()
	defer remove()
	ctx := context.Background()
	as, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("as_dpop_nonces"))
	if err != nil {
		log.Fatal(err)
	}
	rs, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("rs_dpop_nonces"), dpopnonce.WithSweepBatch(500))
	if err != nil {
		log.Fatal(err)
	}
	for _, nonces := range []*dpopnonce.Repository{as, rs} {
		if err := nonces.Migrate(ctx); err != nil {
			log.Fatal(err)
		}
	}

	nonce, err := as.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rs.Consume(ctx, nonce, dpopnonce.DefaultTTL))
	fmt.Println(as.Consume(ctx, nonce, dpopnonce.DefaultTTL))
	// Output:
	// dpopnonce: nonce rejected: unknown
	// <nil>
}

// exampleDB stands for the application's database: a new SQLite file.
func exampleDB() (db *gorm.DB, remove func()) {
	dir, err := os.MkdirTemp("", "dpopnonce")
	if err != nil {
		log.Fatal(err)
	}
	db, err = gorm.Open(sqlite.Open("file:"+filepath.Join(dir, "nonces.db")+
		"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
		_ = os.RemoveAll(dir)
	}
}

// exampleTable returns a new database, and a repository on its table.
func exampleTable(opts ...dpopnonce.Option) (db *gorm.DB, nonces *dpopnonce.Repository, remove func()) {
	db, remove = exampleDB()
	nonces, err := dpopnonce.NewRepository(db, opts...)
	if err != nil {
		log.Fatal(err)
	}
	if err := nonces.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	return db, nonces, remove
}

// exampleRepository returns a repository on a new database.
func exampleRepository(opts ...dpopnonce.Option) (nonces *dpopnonce.Repository, remove func()) {
	_, nonces, remove = exampleTable(opts...)
	return nonces, remove
}
