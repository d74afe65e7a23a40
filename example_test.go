package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// Example is the first snippet of the README.
func Example() {
	db, remove := exampleDB()
	defer remove()
	ctx := context.Background()

	nonces, err := dpopnonce.NewRepository(db) // your *gorm.DB
	if err != nil {
		log.Fatal(err)
	}
	if err := nonces.Migrate(ctx); err != nil { // or any migration tool: nonces.Schema()
		log.Fatal(err)
	}
	first, err := nonces.Issue(ctx, dpopnonce.DefaultTTL) // for a challenge
	if err != nil {
		log.Fatal(err)
	}
	for _, claim := range []string{first, first} { // the nonce of a proof that is verified otherwise
		next, err := nonces.Rotate(ctx, claim, dpopnonce.DefaultTTL)
		switch {
		case err == nil:
			fmt.Println(http.StatusOK, "accepted; DPoP-Nonce for the next request:", next != "")
		case errors.Is(err, dpopnonce.ErrRejected):
			fmt.Println(http.StatusBadRequest, "use_dpop_nonce (401 at a resource server) with a fresh one;", err)
		default:
			fmt.Println(http.StatusServiceUnavailable, "no challenge, no pass")
		}
	}
	// Output:
	// 200 accepted; DPoP-Nonce for the next request: true
	// 400 use_dpop_nonce (401 at a resource server) with a fresh one; dpopnonce: nonce rejected: already used
}

// An application that stamps rows itself guards the update with the row's
// state and judges by the count, as Consume does.
func ExampleConsumeChangeset() {
	db, remove := exampleDB()
	defer remove()
	ctx := context.Background()
	nonces, err := dpopnonce.NewRepository(db)
	if err != nil {
		log.Fatal(err)
	}
	if err := nonces.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	row, err := nonces.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: "n-0S6_WzA2Mj", IssuedAt: now, ExpiresAt: now.Add(time.Minute)}))
	if err != nil {
		log.Fatal(err)
	}

	c := dpopnonce.ConsumeChangeset(row, now)
	if err := c.Err(); err != nil {
		log.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		done := db.WithContext(ctx).Model(&dpopnonce.DPoPNonce{}).
			Where("id = ? AND used_at IS NULL", row.ID).Updates(c.Changes())
		if done.Error != nil {
			log.Fatal(done.Error)
		}
		fmt.Println("accepted:", done.RowsAffected == 1)
	}
	fmt.Println(dpopnonce.ConsumeChangeset(c.Row(), now).Err())
	// Output:
	// accepted: true
	// accepted: false
	// dpopnonce: invalid: used_at has already been used
}

// A nonce that is spent in a transaction comes back with its rollback.
func ExampleRepository_WithTx() {
	db, remove := exampleDB()
	defer remove()
	ctx := context.Background()
	nonces, err := dpopnonce.NewRepository(db)
	if err != nil {
		log.Fatal(err)
	}
	if err := nonces.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
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

func exampleDB() (db *gorm.DB, remove func()) {
	dir, err := os.MkdirTemp("", "dpopnonce")
	if err != nil {
		log.Fatal(err)
	}
	db, err = gorm.Open(sqlite.Open(filepath.Join(dir, "nonces.db")), &gorm.Config{})
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
