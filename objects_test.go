package dpopnonce_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// What stands under the name of the table is not always the table that Migrate
// makes: it works, or one clear error says why.

func TestTriggerThatDropsInsertsIsAnError(t *testing.T) {
	ctx := context.Background()
	db, r := withTriggers(t, "BEFORE INSERT", "RETURN NULL;")
	_, err := r.Issue(ctx, time.Minute)
	wantTrigger(t, err)
	_, err = r.Rotate(ctx, "unknown", time.Minute)
	wantTrigger(t, err)
	_, err = r.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{},
		dpopnonce.IssueAttrs{Nonce: "n", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}))
	wantTrigger(t, err)
	if n := count(t, db, "true"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestTriggerThatRedirectsInsertsWorks(t *testing.T) {
	ctx := context.Background()
	for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
		t.Run(fmt.Sprint(len(opts)), func(t *testing.T) {
			db, _ := withTriggers(t, "BEFORE INSERT", "INSERT INTO child VALUES (NEW.*); RETURN NULL;")
			r := withOptions(t, db, opts...)
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if n := count(t, db, "true"); n != 1 {
				t.Errorf("an Issue wrote %d rows", n)
			}
			next, err := r.Rotate(ctx, nonce, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Consume(ctx, nonce, time.Minute); err != dpopnonce.ErrUsed {
				t.Fatalf("got %v", err)
			}
			if err := r.Consume(ctx, next, time.Minute); err != nil {
				t.Fatal(err)
			}
			attrs := dpopnonce.IssueAttrs{Nonce: "n", IssuedAt: noon, ExpiresAt: noon.Add(time.Minute)}
			for _, want := range []error{nil, dpopnonce.ErrDuplicate} {
				if _, err := r.Insert(ctx, dpopnonce.IssueChangeset(dpopnonce.DPoPNonce{}, attrs)); !errors.Is(err, want) {
					t.Fatalf("got %v, want %v", err, want)
				}
			}
		})
	}
}

// An INSERT that is shared reports the rows that it inserted, and here none.
func TestTriggerThatRedirectsProofsIsAnError(t *testing.T) {
	db, _ := withTriggers(t, "BEFORE INSERT", "INSERT INTO child VALUES (NEW.*); RETURN NULL;")
	for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
		r := withOptions(t, db, opts...)
		const callers = 60
		until := time.Now().Add(time.Minute)
		errs := make(chan error)
		for i := 0; i < callers; i++ {
			id := fmt.Sprint(len(opts), i)
			go func() { errs <- r.Spend(context.Background(), id, until) }()
		}
		for i := 0; i < callers; i++ {
			wantTrigger(t, <-errs)
		}
	}
}

func TestTriggerThatDropsUpdatesIsAnError(t *testing.T) {
	ctx := context.Background()
	db, _ := withTriggers(t, "BEFORE UPDATE", "RETURN NULL;")
	for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
		r := withOptions(t, db, opts...)
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		wantTrigger(t, r.Consume(ctx, nonce, time.Minute))
		_, err = r.Rotate(ctx, nonce, time.Minute)
		wantTrigger(t, err)
	}
}

func TestViewWorks(t *testing.T) {
	ctx := context.Background()
	db := openSchema(t)
	migrate(t, db)
	run(t, db, "ALTER TABLE dpop_nonces RENAME TO base", "CREATE VIEW dpop_nonces AS SELECT * FROM base")
	for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
		r := withOptions(t, db, opts...)
		nonce, err := r.Issue(ctx, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		next, err := r.Rotate(ctx, nonce, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Check(ctx, next, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := r.Consume(ctx, next, time.Minute); err != nil {
			t.Fatal(err)
		}
		if err := r.Consume(ctx, next, time.Minute); err != dpopnonce.ErrUsed {
			t.Fatalf("got %v", err)
		}
		run(t, db, "UPDATE base SET expires_at = now() - interval '1 hour'")
		if deleted, err := withOptions(t, db, dpopnonce.WithSweepBatch(1)).Sweep(ctx); err != nil || deleted != 2 {
			t.Errorf("Sweep = %d, %v", deleted, err)
		}
	}
}

func TestRowSecurityThatHidesRowsIsAnError(t *testing.T) {
	ctx := context.Background()
	db := openSchema(t)
	migrate(t, db)
	run(t, db, "DROP ROLE IF EXISTS dpopnonce_restricted", "CREATE ROLE dpopnonce_restricted",
		"GRANT ALL ON dpop_nonces TO dpopnonce_restricted", "GRANT USAGE ON SCHEMA "+schemaOf(t, db)+" TO dpopnonce_restricted",
		"ALTER TABLE dpop_nonces ENABLE ROW LEVEL SECURITY")
	t.Cleanup(func() { db.Exec("DROP OWNED BY dpopnonce_restricted"); db.Exec("DROP ROLE dpopnonce_restricted") })
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(1)
	run(t, db, "SET ROLE dpopnonce_restricted")
	defer db.Exec("RESET ROLE")
	r := withOptions(t, db)
	if _, err := r.Issue(ctx, time.Minute); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("Issue: %v", err)
	}
}

func TestColumnOfAnotherTypeOrNewColumn(t *testing.T) {
	ctx := context.Background()
	db := openSchema(t)
	migrate(t, db)
	r := withOptions(t, db, dpopnonce.WithGroupCommit())
	use := func() {
		t.Helper()
		for i := 0; i < 20; i++ { // on prepared statements
			nonce, err := r.Issue(ctx, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if nonce, err = r.Rotate(ctx, nonce, time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := r.Check(ctx, nonce, time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := r.Consume(ctx, nonce, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
	}
	use()
	run(t, db, "ALTER TABLE dpop_nonces ALTER COLUMN nonce TYPE text")
	use()
	run(t, db, "ALTER TABLE dpop_nonces ADD COLUMN note text")
	use()
	run(t, db, "ALTER TABLE dpop_nonces ADD COLUMN tenant text", "UPDATE dpop_nonces SET tenant = ''",
		"ALTER TABLE dpop_nonces ALTER COLUMN tenant SET NOT NULL")
	if _, err := r.Issue(ctx, time.Minute); err == nil || !strings.Contains(err.Error(), "tenant") {
		t.Errorf("got %v", err)
	}
}

func TestRedirectedProofIsNeverAcceptedTwice(t *testing.T) {
	ctx := context.Background()
	db, _ := withTriggers(t, "BEFORE INSERT", "INSERT INTO child VALUES (NEW.*); RETURN NULL;")
	run(t, db, "ALTER TABLE child DROP CONSTRAINT child_pkey", "DROP INDEX child_nonce_idx")
	accepted := 0
	for i := 0; i < 4; i++ { // each repository's first INSERT
		if withOptions(t, db).Spend(ctx, "proof", time.Now().Add(time.Minute)) == nil {
			accepted++
		}
	}
	if accepted > 1 {
		t.Errorf("accepted %d times", accepted)
	}
}

func TestTriggerThatChangesNoncesAcceptsNothingTwice(t *testing.T) {
	db, _ := withTriggers(t, "BEFORE INSERT", "NEW.nonce := lower(NEW.nonce); RETURN NEW;")
	r := withOptions(t, db, dpopnonce.WithGroupCommit())
	until := time.Now().Add(time.Minute)
	_ = r.Spend(context.Background(), "the first INSERT goes alone", until)
	var accepted [64]atomic.Int64
	var wg sync.WaitGroup
	for i := 0; i < 4*len(accepted); i++ {
		i := i % len(accepted)
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := r.Spend(context.Background(), fmt.Sprint("proof ", i), until)
			switch {
			case err == nil:
				accepted[i].Add(1)
			case err != dpopnonce.ErrReplayed:
				wantTrigger(t, err)
			}
		}()
	}
	wg.Wait()
	for i := range accepted {
		if n := accepted[i].Load(); n > 1 {
			t.Errorf("proof %d was accepted %d times", i, n)
		}
	}
}

// The proof was never seen: its INSERT fails for another reason.
func TestDuplicateInAnotherTableIsNoReplay(t *testing.T) {
	db, r := withTriggers(t, "AFTER INSERT", "INSERT INTO audit VALUES (1); RETURN NULL;")
	run(t, db, "CREATE TABLE audit (n int UNIQUE)")
	until := time.Now().Add(time.Minute)
	_ = r.Spend(context.Background(), "first", until)
	if err := r.Spend(context.Background(), "second", until); err == nil || err == dpopnonce.ErrReplayed || !strings.Contains(err.Error(), "audit") {
		t.Errorf("got %v", err)
	}
}

// withTriggers returns a table with a trigger, and one that inherits from it.
func withTriggers(t *testing.T, when, body string) (*gorm.DB, *dpopnonce.Repository) {
	t.Helper()
	db := openSchema(t)
	migrate(t, db)
	run(t, db, "CREATE TABLE child (LIKE dpop_nonces INCLUDING ALL) INHERITS (dpop_nonces)",
		"CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "+body+" END $$",
		"CREATE TRIGGER act "+when+" ON dpop_nonces FOR EACH ROW EXECUTE FUNCTION act()")
	return db, withOptions(t, db)
}

func withOptions(t *testing.T, db *gorm.DB, opts ...dpopnonce.Option) *dpopnonce.Repository {
	t.Helper()
	r, err := dpopnonce.NewRepository(db, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t *testing.T, db *gorm.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := db.Exec(statement).Error; err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func count(t *testing.T, db *gorm.DB, where string) (n int) {
	t.Helper()
	if err := db.Raw("SELECT count(*) FROM dpop_nonces WHERE " + where).Row().Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func schemaOf(t *testing.T, db *gorm.DB) (name string) {
	t.Helper()
	if err := db.Raw("SELECT current_schema()").Row().Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func wantTrigger(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, dpopnonce.ErrRejected) || !strings.Contains(err.Error(), "trigger") {
		t.Errorf("got %v, want a failure that names triggers", err)
	}
}
