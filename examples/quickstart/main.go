// Command quickstart shows each call of the store and its result, on a new
// SQLite file, or on PostgreSQL with -dsn postgres://user@host/database.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/attesto/dpopnonce"
)

// table belongs to the quickstart, which creates and drops it.
const table = "dpop_nonces_quickstart"

func main() {
	dsn := flag.String("dsn", "", "PostgreSQL to use, as postgres://user:password@host:port/database (default: a new SQLite file)")
	flag.Parse()
	if flag.NArg() > 0 {
		fail(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, *dsn); err != nil {
		fail(err)
	}
}

// fail prints the error on one line; those of drivers may have several.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "quickstart:", strings.Join(strings.Fields(err.Error()), " "))
	os.Exit(1)
}

func run(ctx context.Context, dsn string) error {
	db, closeDB, err := open(ctx, dsn)
	if err != nil {
		return err
	}
	defer closeDB()

	clock := &movedClock{}
	nonces, err := dpopnonce.NewRepository(db, dpopnonce.WithTable(table), dpopnonce.WithClock(clock.Now))
	if err != nil {
		return err
	}
	sealer, err := dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "quickstart", Keys: []dpopnonce.Key{dpopnonce.NewKey()}})
	if err != nil {
		return err
	}
	sealing, err := dpopnonce.NewRepository(db, dpopnonce.WithTable(table), dpopnonce.WithClock(clock.Now), dpopnonce.WithSealer(sealer))
	if err != nil {
		return err
	}
	step("Migrate")
	if err := nonces.Migrate(ctx); err != nil {
		return err
	}
	defer db.Exec("DROP TABLE " + table)
	say("%s has the table %s and its indexes", db.Dialector.Name(), table)

	for _, chapter := range []func(context.Context, story) error{single, rejected, race, rotate, sealed, proof, sweep} {
		if err := chapter(ctx, story{nonces, sealing, clock}); err != nil {
			return err
		}
	}
	return nil
}

// A story is what the chapters work with: a repository that stores nonces, one
// that seals them, both on one table, and the clock of both.
type story struct {
	nonces, sealing *dpopnonce.Repository
	clock           *movedClock
}

func single(ctx context.Context, s story) error {
	step("Issue, then consume")
	nonce, err := s.nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		return err
	}
	say("the server sends          DPoP-Nonce: %s", nonce)
	if err := s.nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL); err != nil {
		return err
	}
	say("a proof carries it        accepted")
	return expect(s.nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL), dpopnonce.ErrUsed, "the same proof again")
}

func rejected(ctx context.Context, s story) error {
	step("Rejected nonces")
	nonce, err := s.nonces.Issue(ctx, time.Minute)
	if err != nil {
		return err
	}
	s.clock.Forward(time.Minute)
	if err := expect(s.nonces.Consume(ctx, nonce, time.Minute), dpopnonce.ErrExpired, "a minute after its issue"); err != nil {
		return err
	}
	if err := expect(s.nonces.Consume(ctx, "Zm9yZ2VkLW5vbmNl", time.Minute), dpopnonce.ErrUnknown, "a forged nonce"); err != nil {
		return err
	}
	return expect(s.nonces.Consume(ctx, "' OR 1=1 --", time.Minute), dpopnonce.ErrUnknown, "a malformed nonce")
}

func race(ctx context.Context, s story) error {
	const callers = 64
	step(fmt.Sprintf("%d goroutines present one nonce at the same moment", callers))
	nonce, err := s.nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		return err
	}
	var accepted, used, failed atomic.Int64
	var done sync.WaitGroup
	start := make(chan struct{})
	for i := 0; i < callers; i++ {
		done.Add(1)
		go func() {
			defer done.Done()
			<-start
			switch err := s.nonces.Consume(ctx, nonce, dpopnonce.DefaultTTL); {
			case err == nil:
				accepted.Add(1)
			case errors.Is(err, dpopnonce.ErrUsed):
				used.Add(1)
			default:
				failed.Add(1)
			}
		}()
	}
	close(start)
	done.Wait()
	say("accepted %d, already used %d, failed %d", accepted.Load(), used.Load(), failed.Load())
	if accepted.Load() != 1 || used.Load() != callers-1 {
		return errors.New("want one accepted and all others used")
	}
	return nil
}

func rotate(ctx context.Context, s story) error {
	step("Rotate: every response carries the nonce of the next request")
	nonce, err := s.nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		return err
	}
	for i := 1; i <= 3; i++ {
		next, err := s.nonces.Rotate(ctx, nonce, dpopnonce.DefaultTTL)
		if err != nil {
			return err
		}
		say("request %d accepted        DPoP-Nonce: %s", i, next)
		nonce = next
	}
	next, err := s.nonces.Rotate(ctx, "Zm9yZ2VkLW5vbmNl", dpopnonce.DefaultTTL)
	if err := expect(err, dpopnonce.ErrUnknown, "a forged nonce"); err != nil {
		return err
	}
	say("the challenge carries     DPoP-Nonce: %s", next)
	return nil
}

func sealed(ctx context.Context, s story) error {
	step("A sealed nonce: no row until it is accepted")
	nonce, err := s.sealing.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		return err
	}
	say("the server sends          DPoP-Nonce: %s", nonce)
	if err := s.sealing.Consume(ctx, nonce, dpopnonce.DefaultTTL); err != nil {
		return err
	}
	say("a proof carries it        accepted")
	return expect(s.sealing.Consume(ctx, nonce, dpopnonce.DefaultTTL), dpopnonce.ErrUsed, "the same nonce again")
}

func proof(ctx context.Context, s story) error {
	step("Spend: a proof is accepted once, also where its nonce is accepted again")
	const id = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I.e1j3V_bKic8-LAEB" // the thumbprint of its key, and its jti
	until := s.clock.Now().Add(dpopnonce.DefaultTTL)
	if err := s.nonces.Spend(ctx, id, until); err != nil {
		return err
	}
	say("a proof                   accepted")
	return expect(s.nonces.Spend(ctx, id, until), dpopnonce.ErrReplayed, "the very same proof")
}

func sweep(ctx context.Context, s story) error {
	step("Sweep: an hour later")
	s.clock.Forward(time.Hour)
	latest, err := s.nonces.Issue(ctx, dpopnonce.DefaultTTL)
	if err != nil {
		return err
	}
	deleted, err := s.nonces.Sweep(ctx)
	if err != nil {
		return err
	}
	if err := s.nonces.Check(ctx, latest, dpopnonce.DefaultTTL); err != nil {
		return err
	}
	say("%d expired rows deleted; a nonce issued just before is still acceptable", deleted)
	return nil
}

func step(title string)              { fmt.Printf("\n%s\n", title) }
func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }

// expect prints the expected rejection, and returns an error for anything else.
func expect(err, want error, what string) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got %v, want %v", what, err, want)
	}
	say("%-25s %v", what, err)
	return nil
}
