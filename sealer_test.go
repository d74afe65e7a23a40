package dpopnonce

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/internal/seal"
)

var noon = time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)

// A sealerAt is a Sealer and the clock that it reads.
type sealerAt struct {
	*Sealer
	now time.Time
}

func newSealerAt(t testing.TB, purpose string, keys ...Key) *sealerAt {
	t.Helper()
	s := &sealerAt{now: noon}
	var err error
	s.Sealer, err = NewSealer(SealerConfig{Purpose: purpose, Keys: keys, Clock: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// issue returns a nonce of the clock's time.
func (s *sealerAt) issue(t testing.TB, ttl time.Duration) string {
	t.Helper()
	nonce, err := s.Issue(context.Background(), ttl)
	if err != nil || !seal.HasForm(nonce) || !wellFormed(nonce) {
		t.Fatalf("issued %q, %v", nonce, err)
	}
	return nonce
}

func (s *sealerAt) current(t testing.TB, ttl time.Duration) string {
	t.Helper()
	nonce, err := s.Current(ttl)
	if err != nil || !seal.HasForm(nonce) {
		t.Fatalf("current %q, %v", nonce, err)
	}
	return nonce
}

// want fails unless Check returns this error itself.
func (s *sealerAt) want(t testing.TB, nonce string, ttl time.Duration, want error) {
	t.Helper()
	if err := s.Check(context.Background(), nonce, ttl); err != want {
		t.Errorf("at %v with ttl %v: got %v, want %v", s.now.Sub(noon), ttl, err, want)
	}
}

func TestSealerRefusesBadConfigs(t *testing.T) {
	k := NewKey()
	same, err := ParseKey(base64.StdEncoding.EncodeToString(secretBytes(1)))
	again, errAgain := ParseKey(base64.RawURLEncoding.EncodeToString(secretBytes(1)))
	if err != nil || errAgain != nil {
		t.Fatal(err, errAgain)
	}
	for name, c := range map[string]SealerConfig{
		"no purpose":       {Keys: []Key{k}},
		"nothing":          {},
		"blank purpose":    {Purpose: " \t", Keys: []Key{k}},
		"line end":         {Purpose: "https://as.example/token\n", Keys: []Key{k}},
		"leading blank":    {Purpose: " p", Keys: []Key{k}},
		"nil keys":         {Purpose: "p"},
		"no keys":          {Purpose: "p", Keys: []Key{}},
		"zero key":         {Purpose: "p", Keys: []Key{{}}},
		"zero key, last":   {Purpose: "p", Keys: []Key{k, {}}},
		"same key":         {Purpose: "p", Keys: []Key{k, k}},
		"same key, apart":  {Purpose: "p", Keys: []Key{k, NewKey(), k}},
		"same key, parsed": {Purpose: "p", Keys: []Key{same, again}},
	} {
		if s, err := NewSealer(c); err == nil || s != nil {
			t.Errorf("%s: made", name)
		}
	}
	if _, err := NewSealer(SealerConfig{Purpose: "p q", Keys: []Key{k, same}}); err != nil {
		t.Error(err)
	}
}

func TestUnmadeSealersAreErrors(t *testing.T) {
	ctx := context.Background()
	s := new(Sealer)
	want := func(call string, err error) {
		t.Helper()
		if err == nil || isAnswer(err) || !strings.Contains(err.Error(), "not made by NewSealer") {
			t.Errorf("%s: got %v", call, err)
		}
	}
	made := newSealerAt(t, "p", NewKey())
	for _, when := range []string{"zero", "after SetKeys"} {
		_, issuing := s.Issue(ctx, time.Minute)
		_, current := s.Current(time.Minute)
		want(when+", Issue", issuing)
		want(when+", Current", current)
		for _, nonce := range []string{"", "malformed", made.issue(t, time.Minute)} {
			want(when+", Check", s.Check(ctx, nonce, time.Minute))
		}
		want(when+", WithSealer", WithSealer(s)(&Repository{}))
		want(when+", WithOpener", WithOpener(s)(&Repository{}))
		want(when+", SetKeys", s.SetKeys(NewKey()))
	}
	if err := s.Check(ctx, "", 0); err != ErrTTL {
		t.Errorf("got %v", err)
	}
}

func TestFailedSetKeysChangesNothing(t *testing.T) {
	k := NewKey()
	s := newSealerAt(t, "p", k)
	issued, current := s.issue(t, time.Minute), s.current(t, time.Minute)
	for name, keys := range map[string][]Key{"none": nil, "zero": {NewKey(), {}}, "twice": {NewKey(), k, k}} {
		if err := s.SetKeys(keys...); err == nil {
			t.Errorf("%s: set", name)
		}
	}
	s.want(t, issued, time.Minute, nil)
	if again := s.current(t, time.Minute); again != current {
		t.Error("another key seals")
	}
}

func TestSetKeysLeavesItsArgumentsAlone(t *testing.T) {
	keys := []Key{NewKey(), NewKey()}
	s := newSealerAt(t, "p", keys...)
	nonce := s.issue(t, time.Minute)
	keys[0], keys[1] = Key{}, Key{}
	s.want(t, nonce, time.Minute, nil)
	s.want(t, s.issue(t, time.Minute), time.Minute, nil)
}

func TestReplacedKeysReject(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	issued, current := s.issue(t, time.Minute), s.current(t, time.Minute)
	if err := s.SetKeys(NewKey()); err != nil {
		t.Fatal(err)
	}
	s.want(t, issued, time.Minute, ErrUnknown)
	s.want(t, current, time.Minute, ErrUnknown)
}

func TestSealerChecksInOrder(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	nonce := s.issue(t, time.Minute)
	stored, err := newNonce(noon)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, nonce, time.Minute, nil)
	s.want(t, nonce, time.Minute, nil) // it is not spent
	for _, ttl := range []time.Duration{time.Second - 1, 0, -time.Minute} {
		s.want(t, nonce, ttl, ErrTTL)
		s.want(t, "", ttl, ErrTTL)
		if issued, err := s.Issue(context.Background(), ttl); issued != "" || err != ErrTTL {
			t.Errorf("ttl %v: issued %q, %v", ttl, issued, err)
		}
	}
	s.want(t, "", time.Minute, ErrMissing)
	s.now = noon.Add(time.Hour)
	for _, unknown := range []string{
		stored, nonce + "A", nonce[1:], strings.Repeat("A", 60), strings.Repeat("A", 256), "\x00", "\xff", nonce + "\n",
		newSealerAt(t, "p", NewKey()).issue(t, time.Hour),
	} {
		s.want(t, unknown, time.Minute, ErrUnknown)
	}
	s.want(t, nonce, time.Minute, ErrExpired)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if issued, err := s.Issue(ended, time.Minute); err != nil || s.Check(ended, issued, time.Minute) != nil {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func TestChangedNoncesAreUnknown(t *testing.T) {
	s := newSealerAt(t, "p", NewKey(), NewKey())
	for _, nonce := range []string{s.issue(t, time.Minute), s.current(t, time.Minute)} {
		for bit := 0; bit < 45*8; bit++ {
			b, err := base64.RawURLEncoding.DecodeString(nonce)
			if err != nil {
				t.Fatal(err)
			}
			b[bit/8] ^= 1 << (bit % 8)
			s.want(t, base64.RawURLEncoding.EncodeToString(b), time.Minute, ErrUnknown)
		}
		// Go's decoders read the same bytes in these.
		for _, text := range []string{nonce + "\n", "\r\n" + nonce, nonce[:30] + "\n" + nonce[30:], nonce + "="} {
			s.want(t, text, time.Minute, ErrUnknown)
		}
		s.want(t, nonce, time.Minute, nil)
	}
}

func TestOtherPurposesAreUnknown(t *testing.T) {
	k := NewKey()
	token, api := newSealerAt(t, "https://as.example/token", k), newSealerAt(t, "https://as.example/api", k)
	for _, nonce := range []string{token.issue(t, time.Minute), token.current(t, time.Minute)} {
		token.want(t, nonce, time.Minute, nil)
		api.want(t, nonce, time.Minute, ErrUnknown)
	}
	if token.current(t, time.Minute) == api.current(t, time.Minute) {
		t.Error("two purposes have one current nonce")
	}
}

func TestNoncesOfATableOpenThereOnly(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	nonce, err := s.seal("dpop_nonces", noon, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if issued, expires, ok := s.open("dpop_nonces", nonce); !ok || issued != noon || expires != noon.Add(time.Minute) {
		t.Errorf("opened %v, from %v to %v", ok, issued, expires)
	}
	for _, table := range []string{"", "auth.dpop_nonces", "dpop_nonce"} {
		if _, _, ok := s.open(table, nonce); ok {
			t.Errorf("it opens in the table %q", table)
		}
	}
	s.want(t, nonce, time.Minute, ErrUnknown)
	if _, _, ok := s.open("dpop_nonces", s.issue(t, time.Minute)); ok {
		t.Error("a Sealer's own nonce opens in a table")
	}
}

func TestSealedNoncesExpireToTheSecond(t *testing.T) {
	const half = time.Second / 2
	for name, c := range map[string]struct {
		issuedTTL, ttl time.Duration
		issuedAfter    time.Duration // noon, by the clock of the issuing node
		at             time.Duration // since noon, by the clock of the checking node
		want           error
	}{
		"own ttl, last instant":           {time.Minute, time.Hour, 0, time.Minute - 1, nil},
		"own ttl, over":                   {time.Minute, time.Hour, 0, time.Minute, ErrExpired},
		"own ttl, fraction floored":       {time.Minute + half, time.Hour, half, time.Minute, ErrExpired},
		"own ttl of a second":             {time.Second, time.Hour, half, time.Second - 1, nil},
		"own ttl of a second, over":       {time.Second, time.Hour, half, time.Second, ErrExpired},
		"given ttl, last instant":         {time.Hour, time.Minute, 0, time.Minute + time.Second - 1, nil},
		"given ttl, over":                 {time.Hour, time.Minute, 0, time.Minute + time.Second, ErrExpired},
		"given ttl, fraction floored":     {time.Hour, time.Minute + half, 0, time.Minute + time.Second, ErrExpired},
		"issued Tolerance ahead":          {time.Hour, time.Hour, Tolerance + time.Second - 1, 0, nil},
		"issued beyond Tolerance ahead":   {time.Hour, time.Hour, Tolerance + time.Second, time.Second - 1, ErrExpired},
		"longest ttl":                     {math.MaxInt64, math.MaxInt64, 0, math.MaxInt64 / time.Second * time.Second / 2, nil},
		"longest ttl, last instant":       {math.MaxInt64, math.MaxInt64, 0, math.MaxInt64/time.Second*time.Second - 1, nil},
		"longest ttl, over":               {math.MaxInt64, math.MaxInt64, 0, math.MaxInt64 / time.Second * time.Second, ErrExpired},
		"issued long ago, for long":       {math.MaxInt64, time.Minute, -50 * 365 * 24 * time.Hour, 0, ErrExpired},
		"issued long ago, accepted still": {math.MaxInt64, math.MaxInt64, -50 * 365 * 24 * time.Hour, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealerAt(t, "p", NewKey())
			s.now = noon.Add(c.issuedAfter)
			nonce := s.issue(t, c.issuedTTL)
			for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 9*3600+1800)} {
				s.now = noon.Add(c.at).In(zone)
				s.want(t, nonce, c.ttl, c.want)
			}
		})
	}
}

func TestClocksBefore1970AreErrors(t *testing.T) {
	s := newSealerAt(t, "p", NewKey())
	nonce := s.issue(t, time.Minute)
	for _, now := range []time.Time{{}, time.Unix(0, -1), time.Unix(-100, 0)} {
		s.now = now
		_, issuing := s.Issue(context.Background(), time.Minute)
		_, current := s.Current(time.Hour)
		checking := s.Check(context.Background(), nonce, time.Minute)
		for i, err := range []error{issuing, current, checking} {
			if err == nil || isAnswer(err) || !errors.Is(err, seal.ErrClock) || !strings.HasPrefix(err.Error(), "dpopnonce: ") {
				t.Errorf("call %d at %v: %v", i, now, err)
			}
		}
		s.want(t, "", time.Minute, ErrMissing)
		s.want(t, "malformed", time.Minute, ErrUnknown)
	}
	s.now = time.Unix(0, 0)
	s.want(t, s.issue(t, time.Minute), time.Minute, nil)
	s.want(t, s.current(t, time.Minute), time.Minute, nil)
}

func TestSealerWithoutClockHasTimeNow(t *testing.T) {
	s, err := NewSealer(SealerConfig{Purpose: "p", Keys: []Key{NewKey()}})
	if err != nil {
		t.Fatal(err)
	}
	before := wholeSecond(time.Now())
	nonce, err := s.Issue(context.Background(), time.Minute)
	issued, _, ok := s.open("", nonce)
	if err != nil || !ok || issued.Before(before) || issued.After(time.Now()) {
		t.Fatalf("issued at %v, %v", issued, err)
	}
}

func BenchmarkSealerIssue(b *testing.B) {
	s := newSealerAt(b, "https://as.example/token", NewKey())
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		s.issue(b, time.Minute)
	}
}
