package dialecttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

var matchingCases = []testCase{
	{name: "matches a nonce byte for byte", run: matchesBytes},
	{name: "matches byte for byte under any collation", run: matchesBytesUnderCollation, needs: collations},
	{name: "matches shared nonces byte for byte", run: matchesSharedBytes, needs: collations | groupCommit},
	{name: "accepts a nonce of 255 characters", run: longestNonce},
	{name: "refuses malformed nonces without a statement", run: malformedSendNothing},
	{name: "refuses malformed nonces in a usable transaction", run: malformedInTransaction},
	{name: "answers a malformed Rotate with one Issue", run: malformedRotate},
}

var likeABCDEF = []string{"ABCDEF", "abcdef", "abcDEF ", " abcDEF", "abcDEF\t", "\u00e1bcDEF", "abcDE\uff26", "abcDEF\x00"}

func matchesBytes(t *testing.T, e *env) {
	e.store(t, "abcDEF", noon, noon.Add(time.Minute))
	for _, like := range likeABCDEF {
		wantIs(t, e.consume(like), dpopnonce.ErrUnknown)
		wantIs(t, e.check(like), dpopnonce.ErrUnknown)
	}
	wantIs(t, e.check("abcDEF"), nil)
	wantIs(t, e.consume("abcDEF"), nil)
}

func matchesBytesUnderCollation(t *testing.T, e *env) {
	ignoresCase(t, e)
	matchesBytes(t, e)
	for _, like := range likeABCDEF {
		_, err := e.Rotate(ctx, like, time.Minute)
		wantIs(t, err, dpopnonce.ErrUnknown)
	}
}

// ignoresCase makes the nonce column take one spelling for another.
func ignoresCase(t *testing.T, e *env) {
	t.Helper()
	if e.afterwards != "" {
		t.Cleanup(func() {
			wantIs(t, e.exec("DROP TABLE "+e.table), nil)
			wantIs(t, e.exec(fmt.Sprintf(e.afterwards, e.table)), nil)
		})
	}
	for _, sql := range e.ignoreCase {
		wantIs(t, e.exec(fmt.Sprintf(sql, e.table)), nil)
	}
	migrate(t, e.Repository)
}

// matchesSharedBytes presents other spellings beside the nonces themselves.
func matchesSharedBytes(t *testing.T, e *env) {
	ignoresCase(t, e)
	r := e.repository(t, e.db, dpopnonce.WithGroupCommit())
	connect(t, e.db)
	const n = 48
	nonce := func(i int) string { return fmt.Sprintf("abcDEF-%d", i) }
	for i := 0; i < n; i++ {
		e.store(t, nonce(i), noon, noon.Add(time.Minute))
	}
	for i, err := range race(2*n, func(i int) error {
		presented := nonce(i / 2)
		if i%2 == 0 {
			presented = strings.ToUpper(presented)
		}
		if i%4 < 2 {
			return r.Consume(ctx, presented, time.Minute)
		}
		_, err := r.Rotate(ctx, presented, time.Minute)
		return err
	}) {
		if i%2 == 0 {
			wantIs(t, err, dpopnonce.ErrUnknown)
		} else {
			wantIs(t, err, nil)
		}
	}
}

func longestNonce(t *testing.T, e *env) {
	longest := strings.Repeat("~", 255)
	e.store(t, longest, noon, noon.Add(time.Minute))
	wantIs(t, e.check(longest), nil)
	wantIs(t, e.consume(longest), nil)
	wantIs(t, e.consume(longest), dpopnonce.ErrUsed)
}

// malformed are values that cannot be nonces.
var malformed = []string{
	"", " ", "a b", "\u00e1", strings.Repeat("a", 256), "nul\x00", "\x00", "\xff\xfe", "quote\"", "back\\slash", "\x7f", "line\n",
}

// wantMalformed fails unless err is the rejection of a malformed nonce. The
// empty one means that there is none.
func wantMalformed(t *testing.T, nonce string, err error) {
	t.Helper()
	want := dpopnonce.ErrUnknown
	if nonce == "" {
		want = dpopnonce.ErrMissing
	}
	if !errors.Is(err, want) || !errors.Is(err, dpopnonce.ErrRejected) {
		t.Fatalf("%q: got %v, want %v", nonce, err, want)
	}
}

func malformedSendNothing(t *testing.T, e *env) {
	sent := statements(t, e.db)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, nonce := range malformed {
		for _, ctx := range []context.Context{ctx, ended} { // only a statement looks at it
			wantMalformed(t, nonce, e.Check(ctx, nonce, time.Minute))
			wantMalformed(t, nonce, e.Consume(ctx, nonce, time.Minute))
		}
	}
	wantNoStatement(t, sent)
}

func malformedInTransaction(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	for _, malformed := range malformed {
		wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
			r := e.WithTx(tx)
			wantMalformed(t, malformed, r.Consume(ctx, malformed, time.Minute))
			wantMalformed(t, malformed, r.Check(ctx, malformed, time.Minute))
			_, err := r.Issue(ctx, time.Minute)
			return err
		}), nil)
	}
	wantIs(t, e.consume(nonce), nil)
}

func malformedRotate(t *testing.T, e *env) {
	sent := statements(t, e.db)
	for _, nonce := range malformed {
		next, err := e.Rotate(ctx, nonce, time.Minute)
		wantMalformed(t, nonce, err)
		if all := sent(); len(all) != 1 {
			t.Fatalf("%q: sent %q", nonce, all)
		}
		wantIs(t, e.consume(next), nil)
		sent()
	}
}
