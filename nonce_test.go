package dpopnonce

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

var nqchar = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]{1,255}$`)

func FuzzWellFormed(f *testing.F) {
	for _, nonce := range []string{"", "abcDEF", " ", "a b", "\u00e1", "a\x00", "\xff\xfe", `"`, `\`, "\x7f", "!", "~",
		"a\n", strings.Repeat("a", 255), strings.Repeat("a", 256)} {
		f.Add(nonce)
	}
	f.Fuzz(func(t *testing.T, nonce string) {
		// In Go's syntax $ without (?m) is the end of the text.
		if got, want := wellFormed(nonce), nqchar.MatchString(nonce); got != want {
			t.Errorf("wellFormed(%q) = %v, want %v", nonce, got, want)
		}
	})
}

func TestNoncesDifferAndSortByTime(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := 0; i < 1000; i++ {
		nonce, err := newNonce(now)
		if err != nil {
			t.Fatal(err)
		}
		if !wellFormed(nonce) || len(nonce) > 64 || seen[nonce] {
			t.Fatalf("nonce %q after %d others", nonce, len(seen))
		}
		if nonce <= last {
			t.Fatalf("nonce %q after %q", nonce, last)
		}
		seen[nonce], last = true, nonce
		now = now.Add(time.Duration(1+i*i) * time.Millisecond)
	}
}

func TestNoncesShareNothingButTheTime(t *testing.T) {
	now := time.Now()
	a, errA := newNonce(now)
	b, errB := newNonce(now)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a[:8] != b[:8] || a[8:16] == b[8:16] {
		t.Fatalf("%q and %q", a, b)
	}
}
