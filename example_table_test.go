package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// Migrate creates what is absent and alters nothing: every node may run it at
// its start.
func ExampleRepository_Migrate() {
	db, remove := exampleDB()
	defer remove()
	nonces, err := dpopnonce.NewRepository(db)
	if err != nil {
		log.Fatal(err)
	}
	for start := 1; start <= 2; start++ {
		if err := nonces.Migrate(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(db.Migrator().HasIndex(&dpopnonce.DPoPNonce{}, "dpop_nonces_nonce_index"))
	// Output:
	// true
}

// Schema returns what Migrate runs, for a migration tool.
func ExampleRepository_Schema() {
	db, remove := exampleDB()
	defer remove()
	nonces, err := dpopnonce.NewRepository(db, dpopnonce.WithTable("as_dpop_nonces"))
	if err != nil {
		log.Fatal(err)
	}
	for _, ddl := range nonces.Schema() {
		fmt.Println(strings.Join(strings.Fields(ddl), " ") + ";")
	}
	// Output:
	// CREATE TABLE IF NOT EXISTS "as_dpop_nonces" ( id uuid NOT NULL PRIMARY KEY, nonce varchar(255) NOT NULL, issued_at datetime NOT NULL, expires_at datetime NOT NULL, used_at datetime );
	// CREATE UNIQUE INDEX IF NOT EXISTS "as_dpop_nonces_nonce_index" ON "as_dpop_nonces" (nonce);
	// CREATE INDEX IF NOT EXISTS "as_dpop_nonces_expires_at_index" ON "as_dpop_nonces" (expires_at);
}

// Sweep deletes rows that have expired, used or not.
func ExampleRepository_Sweep() {
	now := time.Now()
	nonces, remove := exampleRepository(dpopnonce.WithClock(func() time.Time { return now }))
	defer remove()
	ctx := context.Background()

	for i := 0; i < 3; i++ {
		if _, err := nonces.Issue(ctx, time.Minute); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(nonces.Sweep(ctx))
	now = now.Add(time.Hour)
	fmt.Println(nonces.Sweep(ctx))
	// Output:
	// 0 <nil>
	// 3 <nil>
}

// A health check shows whether expired rows are deleted.
func ExampleRepository_SweepLag() {
	now := time.Now()
	nonces, remove := exampleRepository(dpopnonce.WithClock(func() time.Time { return now }))
	defer remove()
	ctx := context.Background()

	if _, err := nonces.Issue(ctx, time.Minute); err != nil {
		log.Fatal(err)
	}
	now = now.Add(time.Hour)
	fmt.Println(nonces.SweepLag(ctx))
	if _, err := nonces.Sweep(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(nonces.SweepLag(ctx))
	// Output:
	// 59m0s <nil>
	// 0s <nil>
}

// SweepEvery runs until its context ends, on as many nodes as you like.
func ExampleRepository_SweepEvery() {
	nonces, remove := exampleRepository()
	defer remove()
	ctx, cancel := context.WithCancel(context.Background())

	ended := make(chan error)
	go func() { ended <- nonces.SweepEvery(ctx, time.Minute) }()
	cancel() // when the server shuts down
	fmt.Println(<-ended)
	// Output:
	// context canceled
}

// A nonce that is spent in a transaction comes back with its rollback.
func ExampleRepository_WithTx() {
	db, nonces, remove := exampleTable()
	defer remove()
	ctx := context.Background()
	nonce, err := nonces.Issue(ctx, time.Minute)
	if err != nil {
		log.Fatal(err)
	}

	grant := func(outcome error) error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := nonces.WithTx(tx).Consume(ctx, nonce, time.Minute); err != nil {
				return err
			}
			return outcome // of what the request does in the same transaction
		})
	}
	fmt.Println(grant(errors.New("out of stock")))
	fmt.Println(grant(nil))
	fmt.Println(grant(nil))
	// Output:
	// out of stock
	// <nil>
	// dpopnonce: nonce rejected: already used
}
