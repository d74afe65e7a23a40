package dialecttest

import (
	"errors"
	"strings"
	"testing"

	"github.com/attesto/dpopnonce"
)

// wantIs fails unless err is want. A want of nil allows no error.
func wantIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

// wantFailure fails unless err is a failure of the server: neither nil nor a
// rejection.
func wantFailure(t testing.TB, err error) {
	t.Helper()
	if err == nil || errors.Is(err, dpopnonce.ErrRejected) {
		t.Fatalf("got %v, want a failure that is not a rejection", err)
	}
}

func wantNames(t testing.TB, err error, name string) {
	t.Helper()
	if !strings.Contains(err.Error(), name) {
		t.Fatalf("%q does not name %s", err, name)
	}
}

// wantOneWinner fails unless one of errs is nil and the others are want.
func wantOneWinner(t testing.TB, errs []error, want error) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		wantIs(t, err, want)
	}
	if winners != 1 {
		t.Fatalf("%d of %d callers succeeded, want 1", winners, len(errs))
	}
}

// wantAll fails unless each of errs is want.
func wantAll(t testing.TB, errs []error, want error) {
	t.Helper()
	for i, err := range errs {
		if !errors.Is(err, want) {
			t.Fatalf("caller %d: got %v, want %v", i, err, want)
		}
	}
}
