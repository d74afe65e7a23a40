package dialecttest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

// sealedJudgeCases are about the rule of time and the form of sealed nonces.
var sealedJudgeCases = []testCase{
	{name: "judges each limit as Check", run: judgesSealed(2, checking)},
	{name: "judges each limit as Consume", run: judgesSealed(2, consuming)},
	{name: "judges each limit as Rotate", run: judgesSealed(2, rotating)},
	{name: "Check agrees with Consume on each limit", run: judgesSealed(2, checkingFirst)},
	{name: "judges each limit in shared Consumes", run: judgesSealed(16, consuming, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "judges each limit in shared Rotates", run: judgesSealed(16, rotating, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "Check agrees with a shared Consume", run: judgesSealed(8, checkingFirst, dpopnonce.WithGroupCommit()), needs: groupCommit},
	{name: "accepts the longest ttl", run: sealedLongestTTL},
	{name: "rejects other texts of the same bytes", run: sealedTexts},
	{name: "refuses forged and expired without a statement", run: sealedForged},
}

// A sealedLimit is a sealed nonce at one of the limits of acceptance, and its
// outcome at judgedAt with judgedTTL.
type sealedLimit struct {
	name   string
	issued time.Time
	ttl    time.Duration
	used   bool
	forged bool
	want   error
}

var sealedLimits = []sealedLimit{
	{name: "last second", issued: noon, ttl: judgedTTL + time.Second},
	{name: "last second, fractions floored", issued: noon.Add(time.Second - 1), ttl: judgedTTL + 2*time.Second - 1},
	{name: "expired", issued: noon, ttl: judgedTTL, want: dpopnonce.ErrExpired},
	{name: "expired, fractions floored", issued: noon.Add(time.Second - 1), ttl: judgedTTL + time.Second - 1, want: dpopnonce.ErrExpired},
	{name: "as old as the ttl", issued: noon, ttl: time.Hour},
	{name: "older than the ttl", issued: noon.Add(-1), ttl: time.Hour, want: dpopnonce.ErrExpired},
	{name: "ahead by Tolerance", issued: newest.Add(time.Second - 1), ttl: time.Hour},
	{name: "ahead of Tolerance", issued: newest.Add(time.Second), ttl: time.Hour, want: dpopnonce.ErrExpired},
	{name: "used and fresh", issued: noon, ttl: time.Hour, used: true, want: dpopnonce.ErrUsed},
	{name: "used and expired", issued: noon, ttl: judgedTTL, used: true, want: dpopnonce.ErrExpired},
	{name: "used and ahead", issued: newest.Add(time.Hour), ttl: time.Hour, used: true, want: dpopnonce.ErrExpired},
	{name: "forged", issued: noon, ttl: time.Hour, forged: true, want: dpopnonce.ErrUnknown},
}

// judgesSealed is judges for sealed nonces.
func judgesSealed(n int, p presenter, opts ...dpopnonce.Option) func(*testing.T, *env) {
	return func(t *testing.T, e *env) {
		r := e.sealed(t, opts...)
		connect(t, e.db)
		total := n * len(sealedLimits)
		nonces := make([]string, total)
		wantUsed := 0
		for i := range nonces {
			l := sealedLimits[i%len(sealedLimits)]
			e.clock.Set(l.issued)
			var err error
			nonces[i], err = r.Issue(ctx, l.ttl)
			wantIs(t, err, nil)
			if l.used {
				wantIs(t, r.Consume(ctx, nonces[i], l.ttl), nil)
			}
			if l.forged {
				nonces[i] = forge(nonces[i])
			}
			if l.used || l.want == nil && p.spends {
				wantUsed++
			}
		}
		e.clock.Set(judgedAt.Add(time.Second - 1)) // floored
		for i, err := range race(total, func(i int) error { return p.present(ctx, r, nonces[i], judgedTTL) }) {
			if l := sealedLimits[i%len(sealedLimits)]; !errors.Is(err, l.want) {
				t.Errorf("%s: got %v, want %v", l.name, err, l.want)
			}
		}
		if used, rows := e.count(t, "used_at IS NOT NULL"), e.rows(t); used != wantUsed || rows != wantUsed {
			t.Errorf("%d rows, %d used, want %d", rows, used, wantUsed)
		}
	}
}

// forge changes the last character of a nonce, which is in its tag.
func forge(nonce string) string {
	last := "A"
	if strings.HasSuffix(nonce, last) {
		last = "B"
	}
	return nonce[:len(nonce)-1] + last
}

func sealedLongestTTL(t *testing.T, e *env) {
	const longest = time.Duration(1<<63 - 1)
	r := e.sealed(t)
	nonce, err := r.Issue(ctx, longest)
	wantIs(t, err, nil)
	wantIs(t, r.Check(ctx, nonce, longest), nil)
	next, err := r.Rotate(ctx, nonce, longest)
	wantIs(t, err, nil)
	wantIs(t, r.Consume(ctx, nonce, longest), dpopnonce.ErrUsed)
	wantIs(t, r.Consume(ctx, next, longest), nil)
	wantIs(t, r.Consume(ctx, next, longest), dpopnonce.ErrUsed)
}

// sealedTexts presents texts from which decoders of base64 read the bytes of a
// nonce, before and after the nonce itself.
func sealedTexts(t *testing.T, e *env) {
	r := e.sealed(t)
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	for !strings.ContainsAny(nonce, "-_") {
		nonce, err = r.Issue(ctx, life)
		wantIs(t, err, nil)
	}
	texts := []string{
		nonce + "\n", "\n" + nonce, nonce[:30] + "\r\n" + nonce[30:], nonce + " ", " " + nonce, nonce + "=", nonce + "==",
		strings.NewReplacer("-", "+", "_", "/").Replace(nonce), nonce + "A", nonce[:59], nonce + nonce,
		strings.ToUpper(nonce[:1]) + nonce[1:], "\xef\xbb\xbf" + nonce, nonce + "\x00",
	}
	rejected := func() {
		t.Helper()
		for _, text := range texts {
			wantIs(t, r.Check(ctx, text, life), dpopnonce.ErrUnknown)
			wantIs(t, r.Consume(ctx, text, life), dpopnonce.ErrUnknown)
			_, err := r.Rotate(ctx, text, life)
			wantIs(t, err, dpopnonce.ErrUnknown)
		}
	}
	rejected()
	wantIs(t, r.Consume(ctx, nonce, life), nil)
	rejected()
	if n := e.rows(t); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

// sealedForged also ends the context, at which only a statement looks.
func sealedForged(t *testing.T, e *env) {
	r := e.sealed(t)
	nonce, err := r.Issue(ctx, life)
	wantIs(t, err, nil)
	spent, err := r.Issue(ctx, time.Second)
	wantIs(t, err, nil)
	wantIs(t, r.Consume(ctx, spent, life), nil)
	e.clock.Set(noon.Add(time.Second))
	ended, cancel := endedContext()
	defer cancel()
	sent := statements(t, e.db)
	refused := func(presented string, want error) {
		t.Helper()
		wantIs(t, r.Check(ended, presented, life), want)
		wantIs(t, r.Consume(ended, presented, life), want)
		next, err := r.Rotate(ended, presented, life)
		wantIs(t, err, want)
		wantIs(t, r.Check(ended, forge(next), life), dpopnonce.ErrUnknown)
		wantNoStatement(t, sent)
	}
	for i := 1; i < len(nonce); i++ { // from the version to the tag
		changed := []byte(nonce)
		changed[i] = 'A'
		if nonce[i] == 'A' {
			changed[i] = 'B'
		}
		refused(string(changed), dpopnonce.ErrUnknown)
	}
	refused("s"+strings.Repeat("A", 59), dpopnonce.ErrUnknown)
	refused(spent, dpopnonce.ErrExpired)
	refused(forge(spent), dpopnonce.ErrUnknown)
	wantIs(t, r.Consume(ctx, nonce, life), nil)
}
