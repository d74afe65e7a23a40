package dialecttest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var sessionCases = []testCase{
	{name: "ignores conditions and errors of the db", run: ignoresConditions},
	{name: "sends one statement per call", run: statementsPerCall},
	{name: "rotates in one statement, also when rejecting", run: statementsPerRotate, needs: oneStatementRotate},
	{name: "refuses a DryRun db", run: refusesDryRun},
	{name: "logs no nonce and no expected error", run: logsNoNonce},
}

func ignoresConditions(t *testing.T, e *env) {
	carrying := e.db.Where("1 = 0").Where("no_such_column = 1").Limit(1)
	_ = carrying.AddError(errors.New("earlier"))
	useAll := func(r *dpopnonce.Repository) {
		t.Helper()
		nonce, err := r.Issue(ctx, time.Minute)
		wantIs(t, err, nil)
		next, err := r.Rotate(ctx, nonce, time.Minute)
		wantIs(t, err, nil)
		wantIs(t, r.Check(ctx, next, time.Minute), nil)
		wantIs(t, r.Consume(ctx, next, time.Minute), nil)
		wantIs(t, r.Consume(ctx, next, time.Minute), dpopnonce.ErrUsed)
		_, err = r.Sweep(ctx)
		wantIs(t, err, nil)
	}
	useAll(e.repository(t, carrying))
	useAll(e.WithTx(carrying))
	wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
		useAll(e.WithTx(tx.Where("1 = 0")))
		return nil
	}), nil)
	if carrying.Error == nil || carrying.Error.Error() != "earlier" {
		t.Fatalf("the caller's error became %v", carrying.Error)
	}
}

// wantSent fails unless a call returned want and sent n statements.
func wantSent(t *testing.T, sent func() []string, n int, err, want error) {
	t.Helper()
	wantIs(t, err, want)
	if all := sent(); len(all) != n {
		t.Errorf("%d statements, want %d: %q", len(all), n, all)
	}
}

// statementsPerCall is about calls outside a transaction. A Consume that is
// rejected takes a second statement.
func statementsPerCall(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	sent := statements(t, e.db)
	_, err := e.Issue(ctx, time.Minute)
	wantSent(t, sent, 1, err, nil)
	wantSent(t, sent, 1, e.check(nonce), nil)
	wantSent(t, sent, 1, e.consume(nonce), nil)
	wantSent(t, sent, 2, e.consume(nonce), dpopnonce.ErrUsed)
	wantSent(t, sent, 1, e.check(nonce), dpopnonce.ErrUsed)
}

func statementsPerRotate(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	sent := statements(t, e.db)
	_, err := e.Rotate(ctx, nonce, time.Minute)
	wantSent(t, sent, 1, err, nil)
	_, err = e.Rotate(ctx, nonce, time.Minute)
	wantSent(t, sent, 1, err, dpopnonce.ErrUsed)
}

func refusesDryRun(t *testing.T, e *env) {
	dry := e.db.Session(&gorm.Session{DryRun: true})
	if r, err := dpopnonce.NewRepository(dry, e.opts...); err == nil || r != nil {
		t.Fatal("no error")
	}
	nonce := e.issue(t, time.Minute)
	for _, tx := range []*gorm.DB{dry, nil} {
		r := e.WithTx(tx)
		for _, presented := range []string{nonce, "", "malformed\n"} {
			next, rotated := r.Rotate(ctx, presented, time.Minute)
			wantFailure(t, rotated)
			if next != "" {
				t.Fatalf("Rotate returned %q", next)
			}
			wantFailure(t, r.Consume(ctx, presented, time.Minute))
			wantFailure(t, r.Check(ctx, presented, time.Minute))
		}
		_, issued := r.Issue(ctx, time.Minute)
		_, inserted := r.Insert(ctx, changeset("dry", noon, noon.Add(time.Minute)))
		_, swept := r.Sweep(ctx)
		for _, err := range []error{issued, inserted, swept, r.Migrate(ctx)} {
			wantFailure(t, err)
		}
	}
	wantIs(t, e.consume(nonce), nil)
}

func logsNoNonce(t *testing.T, e *env) {
	log := &recorder{}
	r := e.repository(t, e.db.Session(&gorm.Session{Logger: logger.New(log, logger.Config{LogLevel: logger.Info})}))
	nonce, err := r.Issue(ctx, time.Minute)
	wantIs(t, err, nil)
	next, err := r.Rotate(ctx, nonce, time.Minute)
	wantIs(t, err, nil)
	_, duplicate := r.Insert(ctx, changeset(next, noon, noon.Add(time.Minute)))
	wantIs(t, duplicate, dpopnonce.ErrDuplicate)
	wantIs(t, r.Check(ctx, next, time.Minute), nil)
	wantIs(t, r.Consume(ctx, next, time.Minute), nil)
	used := r.Consume(ctx, next, time.Minute)
	wantIs(t, used, dpopnonce.ErrUsed)
	checked := r.Check(ctx, next, time.Minute)
	wantIs(t, checked, dpopnonce.ErrUsed)
	if log.failures > 0 {
		t.Errorf("%d errors in the log:\n%s", log.failures, log.text())
	}
	e.dropNonceIndex(t)
	_, failure := r.Insert(ctx, changeset(nonce, noon, noon.Add(time.Minute)))
	if failure == nil && e.can(insertNeedsIndex) {
		t.Error("no error without the unique index")
	}
	for _, secret := range []string{nonce, next} {
		if text := fmt.Sprint(log.text(), duplicate, used, checked, failure); strings.Contains(text, secret) {
			t.Errorf("a nonce is in\n%s", text)
		}
	}
	if !strings.Contains(log.text(), e.table) {
		t.Error("the statements are not in the application's log")
	}
}
