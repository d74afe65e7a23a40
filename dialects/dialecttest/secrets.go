package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var secretCases = []testCase{
	{name: "hides nonces that a driver prints", run: hidesDriversText},
	{name: "hides nonces that a driver cuts", run: hidesCutText},
	{name: "hides nonces that the database prints", run: hidesDatabasesText},
	{name: "hides nonces that a callback panics with", run: hidesPanic},
	{name: "hides nonces that keep Migrate from its index", run: hidesDuplicatesOfMigrate},
}

// presentingCalls are the calls whose statements bind a nonce, or a digest.
var presentingCalls = []func(r *dpopnonce.Repository, nonce string) error{
	func(r *dpopnonce.Repository, nonce string) error { return r.Check(ctx, nonce, time.Hour) },
	func(r *dpopnonce.Repository, nonce string) error { return r.Consume(ctx, nonce, time.Hour) },
	func(r *dpopnonce.Repository, nonce string) error {
		_, err := r.Rotate(ctx, nonce, time.Hour)
		return err
	},
	func(r *dpopnonce.Repository, _ string) error {
		_, err := r.Issue(ctx, time.Hour)
		return err
	},
	func(r *dpopnonce.Repository, _ string) error {
		_, err := r.Insert(ctx, changeset(newSecret(), noon, noon.Add(time.Hour)))
		return err
	},
	func(r *dpopnonce.Repository, id string) error { return r.Spend(ctx, id, noon.Add(time.Hour)) },
}

// newSecret returns a nonce that is in no table.
func newSecret() string {
	return strings.ReplaceAll(uuid.NewString()+uuid.NewString(), "-", "_")
}

// secret finds nonces among the values of a statement, printed with %q.
var secret = regexp.MustCompile(`[\w-]{43,}`)

// callsOn makes each call alone, in a transaction and shared. It returns the
// errors, the text of the log, and the nonces that statements bound.
func callsOn(t *testing.T, e *env, table, nonce string) (errs []error, log string, secrets map[string]bool) {
	t.Helper()
	var mu sync.Mutex
	secrets = map[string]bool{}
	watch(t, e.db, func(tx *gorm.DB) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range secret.FindAllString(fmt.Sprintf("%q", tx.Statement.Vars), -1) {
			secrets[s] = true
		}
	})
	written := &recorder{}
	db := e.db.Session(&gorm.Session{Logger: logger.New(written, logger.Config{LogLevel: logger.Info})})
	r := e.repository(t, db, dpopnonce.WithTable(table))
	for _, call := range presentingCalls {
		errs = append(errs, call(r, nonce))
		wantIs(t, db.Transaction(func(tx *gorm.DB) error {
			errs = append(errs, call(r.WithTx(tx), nonce))
			return errRollback
		}), errRollback)
	}
	if e.can(groupCommit) {
		r := e.repository(t, db, dpopnonce.WithTable(table), dpopnonce.WithGroupCommit())
		for _, call := range presentingCalls {
			call := call
			errs = append(errs, crowd(t, e.db, callers/2, func(ctx context.Context, _ int) error { ctx.Done(); return call(r, nonce) })...)
		}
	}
	return errs, written.text(), secrets
}

// wantHidden fails if more than a few characters of a secret are in text.
func wantHidden(t *testing.T, text string, secrets map[string]bool) {
	t.Helper()
	const part = 8
	for s := range secrets {
		for i := 0; i+part <= len(s); i++ {
			if strings.Contains(text, s[i:i+part]) {
				t.Fatalf("%s of the nonce %s is in\n%s", s[i:i+part], s, text)
			}
		}
	}
}

// printed is an error of a driver that prints values.
type printed string

func (p printed) Error() string { return string(p) }

func hidesDriversText(t *testing.T, e *env) {
	wantTextHidden(t, e, noon.Format("2006-01-02"), func(tx *gorm.DB) string { return fmt.Sprintf("wrong values %q", tx.Statement.Vars) })
}

func hidesCutText(t *testing.T, e *env) {
	wantTextHidden(t, e, "wrong value", func(tx *gorm.DB) (text string) {
		for _, v := range tx.Statement.Vars {
			text += fmt.Sprintf("wrong value %.24q... ", v)
		}
		return text
	})
}

// wantTextHidden lets every statement fail with a text that holds its values, of
// which nonces are hidden and the rest is kept.
func wantTextHidden(t *testing.T, e *env, kept string, print func(*gorm.DB) string) {
	t.Helper()
	watch(t, e.db, func(tx *gorm.DB) { _ = tx.AddError(printed(print(tx))) })
	errs, log, secrets := callsOn(t, e, e.table, newSecret())
	for _, err := range errs {
		wantFailure(t, err)
		var own printed
		if !errors.As(err, &own) {
			t.Fatalf("the driver's error is not in %v", err)
		}
		wantNames(t, err, kept)
		wantHidden(t, err.Error(), secrets)
	}
	wantHidden(t, log, secrets)
	if !strings.Contains(log, kept) {
		t.Errorf("the errors are not in the log:\n%s", log)
	}
}

func hidesDatabasesText(t *testing.T, e *env) {
	for name, faulty := range e.printing {
		t.Run(name, func(t *testing.T) {
			table, nonce := newName(), newSecret()
			migrate(t, e.on(t, table))
			e.create(t, table, nonce)
			for _, sql := range faulty {
				wantIs(t, e.exec(fmt.Sprintf(sql, table)), nil)
			}
			errs, log, secrets := callsOn(t, e, table, nonce)
			printing := 0
			for _, err := range errs {
				for inner := err; inner != nil; inner = errors.Unwrap(inner) {
					if secret.MatchString(inner.Error()) {
						printing++
						break
					}
				}
				wantHidden(t, fmt.Sprint(err), secrets)
			}
			if printing < len(errs)/4 {
				t.Errorf("the database printed %d nonces in %d errors: %v", printing, len(errs), errs)
			}
			wantHidden(t, log, secrets)
		})
	}
}

// create stores a nonce as an application may, also one that is there.
func (e *env) create(t *testing.T, table, nonce string) {
	t.Helper()
	row := dpopnonce.DPoPNonce{ID: uuid.New(), Nonce: nonce, IssuedAt: noon, ExpiresAt: noon.Add(longTTL)}
	wantIs(t, e.db.Session(&gorm.Session{NewDB: true}).Table(table).Create(&row).Error, nil)
}

func hidesPanic(t *testing.T, e *env) {
	watch(t, e.db, func(tx *gorm.DB) { panic(fmt.Sprintf("wrong values %q", tx.Statement.Vars)) })
	catch := func(call func() error) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
		}()
		return call()
	}
	nonce := newSecret()
	r := e.Repository
	if e.can(groupCommit) {
		r = e.repository(t, e.db, dpopnonce.WithGroupCommit())
	}
	for _, err := range race(callers, func(int) error {
		return catch(func() error { return r.Consume(ctx, nonce, time.Hour) })
	}) {
		wantFailure(t, err)
		wantNames(t, err, "wrong values")
		wantHidden(t, err.Error(), map[string]bool{nonce: true})
	}
}

func hidesDuplicatesOfMigrate(t *testing.T, e *env) {
	e.dropNonceIndex(t)
	nonce := newSecret()
	e.create(t, e.table, nonce)
	e.create(t, e.table, nonce)
	log := &recorder{}
	err := e.repository(t, e.db.Session(&gorm.Session{Logger: logger.New(log, logger.Config{LogLevel: logger.Info})})).Migrate(ctx)
	wantFailure(t, err)
	wantHidden(t, err.Error()+log.text(), map[string]bool{nonce: true})
}
