package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce"
)

// A response offers a nonce for the client's next proof.
func ExampleRepository_Issue() {
	nonces, remove := exampleRepository()
	defer remove()

	w := httptest.NewRecorder()
	nonce, err := nonces.Issue(context.Background(), dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	w.Header().Set("DPoP-Nonce", nonce)
	w.Header().Set("Cache-Control", "no-store") // RFC 9449 section 8.2
	fmt.Println(len(nonce), "characters")
	// Output:
	// 44 characters
}

// A server that accepts a nonce again until it expires checks it, and refuses
// a jti that it has seen.
func ExampleRepository_Check() {
	now := time.Now()
	nonces, remove := exampleRepository(dpopnonce.WithClock(func() time.Time { return now }))
	defer remove()
	ctx := context.Background()

	nonce, err := nonces.Issue(ctx, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nonces.Check(ctx, nonce, time.Minute))
	fmt.Println(nonces.Check(ctx, nonce, time.Minute))
	now = now.Add(time.Minute)
	fmt.Println(nonces.Check(ctx, nonce, time.Minute))
	// Output:
	// <nil>
	// <nil>
	// dpopnonce: nonce rejected: expired
}

// Of many callers that present one nonce, one is accepted.
func ExampleRepository_Consume() {
	nonces, remove := exampleRepository()
	defer remove()
	ctx := context.Background()

	nonce, err := nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	var accepted, used, failed atomic.Int64
	var done sync.WaitGroup
	for i := 0; i < 10; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			switch err := nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL); {
			case err == nil:
				accepted.Add(1)
			case errors.Is(err, dpopnonce.ErrUsed): // answer use_dpop_nonce with a new nonce
				used.Add(1)
			default: // answer 503: the nonce may or may not be spent
				failed.Add(1)
			}
		}()
	}
	done.Wait()
	fmt.Println(accepted.Load(), "accepted,", used.Load(), "already used,", failed.Load(), "failed")
	// Output:
	// 1 accepted, 9 already used, 0 failed
}

// Every answer carries the nonce of the next request, and so does every
// rejection: a first request without a nonce needs no branch.
func ExampleRepository_Rotate() {
	nonces, remove := exampleRepository()
	defer remove()
	ctx := context.Background()

	next, err := nonces.Rotate(ctx, "", dpopnonce.DefaultTTL)
	fmt.Println(err, next != "")
	for i := 0; i < 3; i++ {
		next, err = nonces.Rotate(ctx, next, dpopnonce.DefaultTTL)
		fmt.Println(err, next != "")
	}
	// Output:
	// dpopnonce: nonce rejected: missing true
	// <nil> true
	// <nil> true
	// <nil> true
}

// Concurrent calls share statements, and each has its own outcome.
func ExampleWithGroupCommit() {
	nonces, remove := exampleRepository(dpopnonce.WithGroupCommit())
	defer remove()
	ctx := context.Background()

	var accepted atomic.Int64
	var done sync.WaitGroup
	for i := 0; i < 50; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			nonce, err := nonces.Issue(ctx, dpopnonce.DefaultTTL)
			if err == nil {
				err = nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL)
			}
			if err == nil {
				accepted.Add(1)
			}
		}()
	}
	done.Wait()
	fmt.Println(accepted.Load(), "accepted")
	// Output:
	// 50 accepted
}

// An application counts what becomes of its nonces. Package dpopotel has an
// observer that records OpenTelemetry metrics.
func ExampleWithObserver() {
	nonces, remove := exampleRepository(dpopnonce.WithObserver(func(_ context.Context, e dpopnonce.Event) {
		fmt.Println(e.Operation, e.Outcome)
	}))
	defer remove()
	ctx := context.Background()

	nonce, err := nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	_ = nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL)
	_ = nonces.Consume(ctx, "never-issued", dpopnonce.DefaultTTL)
	// Output:
	// issue ok
	// consume ok
	// consume unknown
}
