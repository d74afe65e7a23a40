package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/attesto/dpopnonce"
)

// All faults are reported at once, by column.
func ExampleIssueChangeset() {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: `has "quotes"`, IssuedAt: now, ExpiresAt: now})
	var invalid *dpopnonce.ValidationError
	if errors.As(c.Err(), &invalid) {
		for _, fault := range invalid.Errors {
			fmt.Println(fault.Field, fault.Message)
		}
	}

	c = dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: "n-0S6_WzA2Mj", IssuedAt: now, ExpiresAt: now.Add(time.Minute)})
	fmt.Println(c.Valid(), c.Changes()["expires_at"])
	// Output:
	// nonce has invalid format
	// expires_at must be after issued_at
	// true 2026-06-01 12:01:00 +0000 UTC
}

// Insert stores a nonce of the application's own choice, once.
func ExampleRepository_Insert() {
	nonces, remove := exampleRepository()
	defer remove()
	ctx := context.Background()

	now := time.Now()
	c := dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: "n-0S6_WzA2Mj", IssuedAt: now, ExpiresAt: now.Add(time.Minute)})
	row, err := nonces.Insert(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(row.Nonce, "UUIDv", row.ID.Version())
	_, err = nonces.Insert(ctx, c)
	fmt.Println(errors.Is(err, dpopnonce.ErrDuplicate), err)
	// Output:
	// n-0S6_WzA2Mj UUIDv VERSION_7
	// true dpopnonce: invalid: nonce has already been taken
}

// An application that stamps rows itself guards the update with the row's
// state and judges by the count, as Consume does.
func ExampleConsumeChangeset() {
	db, nonces, remove := exampleTable()
	defer remove()
	ctx := context.Background()
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
