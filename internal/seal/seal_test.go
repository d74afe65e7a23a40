package seal

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"
)

const issued, ttl = 1774785600, 300 // 2026-03-29 12:00:00 UTC

var scope = Scope{Purpose: "https://as.example/token"}

// key returns one whose secret is the 32 bytes from first on.
func key(first byte) Key {
	var secret [SecretSize]byte
	for i := range secret {
		secret[i] = first + byte(i)
	}
	return NewKey(secret)
}

func sealed(t testing.TB, k Key, s Scope, issued, ttl int64) string {
	t.Helper()
	text, err := k.Seal(s, issued, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func opens(s Scope, text string, keys ...Key) bool {
	_, _, ok := Open(keys, s, text)
	return ok
}

// TestVectors has what testdata/openssl.sh prints.
func TestVectors(t *testing.T) {
	random := make([]byte, tagAt-randomAt)
	for i := range random {
		random[i] = 0xa0 + byte(i)
	}
	ones := []byte(strings.Repeat("\xff", len(random)))
	for _, v := range []struct {
		scope       Scope
		issued, ttl int64
		random      []byte // nil: derived
		text        string
	}{
		{scope, issued, ttl, random, "sQBpyRRAAAAAASygoaKjpKWmp6ipqqusra6vsLHiJQ5N7kPIrgebLG9nCGXN"},
		{Scope{scope.Purpose, "auth.dpop_nonces"}, issued, ttl, random, "sQBpyRRAAAAAASygoaKjpKWmp6ipqqusra6vsLESx6YczPFmX7s71W8hRcXw"},
		{Scope{}, 0, 1, make([]byte, len(random)), "sQAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAADriMOSBrnk2OcYsd4CvRQD"},
		{Scope{"n\u00e9", "t"}, 1<<40 - 1, math.MaxInt64 / int64(time.Second), ones, "sf______AiXBfQT________________________MruNvae-vH7CeSait5g5V"},
		{scope, issued, ttl, nil, "sQBpyRRAAAAAASy_cUfOPywoZ0Dkcky4px5fnnCxz2121LhonrR6DC-HMNp9"},
	} {
		text, err := key(0).seal(v.scope, v.issued, v.ttl, v.random)
		if v.random == nil {
			text, err = key(0).Derive(v.scope, v.issued, v.ttl)
		}
		if err != nil || text != v.text {
			t.Errorf("sealed %s, %v, want %s", text, err, v.text)
		}
		gotIssued, gotTTL, ok := Open([]Key{key(0)}, v.scope, v.text)
		if !ok || gotIssued != v.issued || gotTTL != v.ttl {
			t.Errorf("%s: opened %v, issued %d, ttl %d", v.text, ok, gotIssued, gotTTL)
		}
	}
	if id := key(0).ID(); id != "sXUB3Ibx" {
		t.Errorf("id %s", id)
	}
}

func TestSealedNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := 0; i < 1000; i++ {
		text := sealed(t, key(0), scope, issued, ttl)
		if !HasForm(text) || seen[text] {
			t.Fatalf("%q after %d others", text, i)
		}
		seen[text] = true
	}
}

func TestOpenTriesEveryKey(t *testing.T) {
	text := sealed(t, key(1), scope, issued, ttl)
	for _, c := range []struct {
		keys []Key
		want bool
	}{
		{nil, false},
		{[]Key{key(0)}, false},
		{[]Key{key(0), key(2)}, false},
		{[]Key{key(1)}, true},
		{[]Key{key(1), key(0), key(2)}, true},
		{[]Key{key(0), key(2), key(1)}, true},
	} {
		if got := opens(scope, text, c.keys...); got != c.want {
			t.Errorf("%d keys: opened %v", len(c.keys), got)
		}
	}
}

// The bytes of purpose and table together are the same in all of these.
func TestOtherScopesDoNotOpen(t *testing.T) {
	scopes := []Scope{{"", "abcd"}, {"a", "bcd"}, {"ab", "cd"}, {"abc", "d"}, {"abcd", ""}}
	for i, s := range scopes {
		derived, err := key(0).Derive(s, issued, ttl)
		if err != nil {
			t.Fatal(err)
		}
		for j, other := range scopes {
			if opens(other, derived, key(0)) != (i == j) || opens(other, sealed(t, key(0), s, issued, ttl), key(0)) != (i == j) {
				t.Errorf("%q opens in %q: not %v", s, other, i == j)
			}
		}
	}
}

func TestDerivedNoncesDependOnEachValue(t *testing.T) {
	seen := map[string]bool{} // the random parts
	derive := func(k Key, s Scope, issued, ttl int64) {
		text, err := k.Derive(s, issued, ttl)
		again, _ := k.Derive(s, issued, ttl)
		b, _ := base64.RawURLEncoding.DecodeString(text)
		if err != nil || text != again || seen[string(b[randomAt:tagAt])] {
			t.Errorf("%q, then %q, %v", text, again, err)
		}
		seen[string(b[randomAt:tagAt])] = true
	}
	derive(key(0), scope, issued, ttl)
	derive(key(1), scope, issued, ttl)
	derive(key(0), Scope{"other", ""}, issued, ttl)
	derive(key(0), Scope{scope.Purpose, "other"}, issued, ttl)
	derive(key(0), scope, issued+1, ttl)
	derive(key(0), scope, issued, ttl+1)
}

func TestOneBitChangedDoesNotOpen(t *testing.T) {
	text := sealed(t, key(0), scope, issued, ttl)
	for bit := 0; bit < size*8; bit++ {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		b[bit/8] ^= 1 << (bit % 8)
		if changed := base64.RawURLEncoding.EncodeToString(b); opens(scope, changed, key(0)) {
			t.Errorf("bit %d: %s opens", bit, changed)
		}
	}
	if !opens(scope, text, key(0)) {
		t.Error("unchanged it does not open")
	}
}

func TestOneNonceHasOneText(t *testing.T) {
	text := sealed(t, key(0), scope, issued, ttl)
	for i := range text {
		for c := 0; c < 256; c++ {
			changed := text[:i] + string([]byte{byte(c)}) + text[i+1:]
			if got := opens(scope, changed, key(0)); got != (changed == text) {
				t.Errorf("%q opens: %v", changed, got)
			}
		}
	}
	for i := 0; i <= len(text); i++ {
		for _, more := range []string{"\n", "\r", "\r\n", "=", " ", "A", "\x00"} {
			for _, changed := range []string{text[:i] + more + text[i:], text[:i] + more, more + text[i:]} {
				if changed != text && opens(scope, changed, key(0)) {
					t.Errorf("%q opens", changed)
				}
			}
		}
	}
	if std := strings.NewReplacer("-", "+", "_", "/").Replace(text); std != text && opens(scope, std, key(0)) {
		t.Errorf("%q opens", std)
	}
}

// The tag of another version, though made with the key, is not looked at.
func TestOtherVersionsDoNotOpen(t *testing.T) {
	text := sealed(t, key(0), scope, issued, ttl)
	for _, other := range []byte{version ^ 1, version ^ 2, version ^ 3} {
		b, _ := base64.RawURLEncoding.DecodeString(text)
		b[0] = other
		changed := base64.RawURLEncoding.EncodeToString(b)
		if !HasForm(changed) || opens(scope, changed, key(0)) {
			t.Errorf("version %x: form %v, opens %v", other, HasForm(changed), opens(scope, changed, key(0)))
		}
	}
}

func TestHasForm(t *testing.T) {
	for text, want := range map[string]bool{
		"s" + strings.Repeat("A", 59):          true,
		"s" + strings.Repeat("-_", 29) + "9":   true,
		"t" + strings.Repeat("A", 59):          false,
		"A" + strings.Repeat("A", 59):          false,
		"s" + strings.Repeat("A", 58):          false,
		"s" + strings.Repeat("A", 60):          false,
		"s" + strings.Repeat("A", 58) + "=":    false,
		"s" + strings.Repeat("A", 58) + "+":    false,
		"s" + strings.Repeat("A", 58) + "\n":   false,
		"s" + strings.Repeat("A", 57) + "\xe9": false,
		"":                                     false,
	} {
		if got := HasForm(text); got != want {
			t.Errorf("HasForm(%q) = %v", text, got)
		}
	}
}

func TestInstantsThatDoNotFitAreErrors(t *testing.T) {
	for _, c := range [][2]int64{{-1, 1}, {math.MinInt64, 1}, {1 << 40, 1}, {math.MaxInt64, 1}, {0, -1}, {0, 1 << 40}} {
		_, sealing := key(0).Seal(scope, c[0], c[1])
		_, deriving := key(0).Derive(scope, c[0], c[1])
		if sealing != ErrClock || deriving != ErrClock {
			t.Errorf("issued %d, ttl %d: %v, %v", c[0], c[1], sealing, deriving)
		}
	}
}

// FuzzOpen knows all nonces that were made: random bits cannot be guessed, and
// derived ones are these.
func FuzzOpen(f *testing.F) {
	type given struct {
		text  string
		scope Scope
	}
	made := map[given]bool{}
	for _, s := range []Scope{scope, {"a", "b"}, {"ab", ""}, {"", "ab"}} {
		for _, k := range []Key{key(0), key(1), key(2)} {
			for _, at := range []int64{0, issued, 1<<40 - 1} {
				text, err := k.Derive(s, at, ttl)
				if err != nil {
					f.Fatal(err)
				}
				made[given{text, s}] = !k.Equal(key(2))
				f.Add(text, s.Purpose, s.Table)
			}
		}
	}
	f.Add("", "", "")
	f.Add("s"+strings.Repeat("A", 59), scope.Purpose, "")
	keys := []Key{key(0), key(1)}
	f.Fuzz(func(t *testing.T, text, purpose, table string) {
		s := Scope{purpose, table}
		issued, ttl, ok := Open(keys, s, text)
		if ok != made[given{text, s}] {
			t.Fatalf("Open(%q) in %q = %v", text, s, ok)
		}
		if !ok && (issued != 0 || ttl != 0) {
			t.Fatalf("not opened, and issued %d, ttl %d", issued, ttl)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	k := key(0)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		sealed(b, k, scope, issued, ttl)
	}
}

func BenchmarkOpen(b *testing.B) {
	keys := []Key{key(1), key(0)}
	text := sealed(b, key(0), scope, issued, ttl)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if !opens(scope, text, keys...) {
			b.Fatal("does not open")
		}
	}
}
