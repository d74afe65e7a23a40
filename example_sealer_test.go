package dpopnonce_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/attesto/dpopnonce"
)

// A server that accepts a nonce again until it expires, and refuses a proof that
// it has seen, needs no table of nonces.
func ExampleSealer() {
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	nonces, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{
		Purpose: "https://rs.example",
		Keys:    []dpopnonce.Key{dpopnonce.NewKey()}, // of several processes: ParseKey
		Clock:   func() time.Time { return now },
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	// The nonce of the moment goes with every challenge, on all nodes.
	nonce, err := nonces.Current(dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(nonce), "characters")
	fmt.Println(nonces.Check(ctx, nonce, dpopnonce.DefaultTTL))
	fmt.Println(nonces.Check(ctx, nonce+"x", dpopnonce.DefaultTTL))
	now = now.Add(dpopnonce.DefaultTTL)
	fmt.Println(nonces.Check(ctx, nonce, dpopnonce.DefaultTTL))
	// Output:
	// 60 characters
	// <nil>
	// dpopnonce: nonce rejected: unknown
	// dpopnonce: nonce rejected: expired
}

// A nonce of its own for each challenge costs no row either.
func ExampleSealer_Issue() {
	nonces, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{
		Purpose: "https://as.example/token",
		Keys:    []dpopnonce.Key{dpopnonce.NewKey()},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	first, err := nonces.Issue(ctx, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	second, err := nonces.Issue(ctx, time.Minute)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(first != second)
	fmt.Println(nonces.Check(ctx, first, time.Minute), nonces.Check(ctx, second, time.Minute))
	// Output:
	// true
	// <nil> <nil>
}

// To replace a key, take each step on all nodes before the next.
func ExampleSealer_SetKeys() {
	first, next := dpopnonce.NewKey(), dpopnonce.NewKey()
	nonces, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "https://rs.example", Keys: []dpopnonce.Key{first}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	nonce, err := nonces.Issue(ctx, time.Minute)
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(nonces.SetKeys(first, next), nonces.Check(ctx, nonce, time.Minute)) // every node opens both
	fmt.Println(nonces.SetKeys(next, first), nonces.Check(ctx, nonce, time.Minute)) // every node seals with the new one
	fmt.Println(nonces.SetKeys(next), nonces.Check(ctx, nonce, time.Minute))        // too early: wait for the longest ttl
	// Output:
	// <nil> <nil>
	// <nil> <nil>
	// <nil> dpopnonce: nonce rejected: unknown
}

// The text of a key is made once, by `openssl rand -base64 32`, and kept where
// passwords are kept.
func ExampleParseKey() {
	if err := os.Setenv("NONCE_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="); err != nil {
		log.Fatal(err)
	}
	key, err := dpopnonce.ParseKey(os.Getenv("NONCE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", key) // never the secret
	// Output:
	// key sXUB3Ibx
}

// A sealed nonce costs a row only when it is accepted.
func ExampleWithSealer() {
	key, err := dpopnonce.ParseKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY") // of openssl rand -base64 32
	if err != nil {
		log.Fatal(err)
	}
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "https://as.example/token", Keys: []dpopnonce.Key{key}})
	if err != nil {
		log.Fatal(err)
	}
	nonces, remove := exampleRepository(dpopnonce.WithSealer(sealer))
	defer remove()
	ctx := context.Background()
	nonce, err := nonces.Issue(ctx, dpopnonce.DefaultTTL) // sends no statement
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL))
	fmt.Println(nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL))
	// Output:
	// <nil>
	// dpopnonce: nonce rejected: already used
}

// A server that accepts a nonce again inside its window refuses each proof that
// it has seen.
func ExampleRepository_Spend() {
	nonces, remove := exampleRepository()
	defer remove()
	ctx := context.Background()
	nonce, err := nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		log.Fatal(err)
	}
	for _, jti := range []string{"e1j3V_bKic8", "W2kT0aBw", "e1j3V_bKic8"} {
		until := time.Now().Add(dpopnonce.DefaultTTL + dpopnonce.Tolerance) // read before the nonce is checked
		err := nonces.Check(ctx, nonce, dpopnonce.DefaultTTL)
		if err == nil {
			err = nonces.Spend(ctx, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I."+jti, until)
		}
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// dpopnonce: proof replayed
}
