package dialecttest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// stored returns what the row of a proof has for a nonce.
func stored(id string) string {
	digest := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// A presented nonce, and what Rotate sends and returns for it.
type rotation struct {
	name      string
	nonce     string
	want      error
	statement int // how many a Rotate sends, where one Rotate is one
}

// rotations returns nonces of both forms for r, and of none.
func (e *env) rotations(t *testing.T, sealing *dpopnonce.Repository, issues int) []rotation {
	t.Helper()
	e.clock.Set(noon)
	new := func(r *dpopnonce.Repository, ttl time.Duration, used bool) string {
		nonce, err := r.Issue(ctx, ttl)
		wantIs(t, err, nil)
		if used {
			wantIs(t, r.Consume(ctx, nonce, ttl), nil)
		}
		return nonce
	}
	all := []rotation{
		{"missing", "", dpopnonce.ErrMissing, issues},
		{"malformed", "mal formed", dpopnonce.ErrUnknown, issues},
		{"forged", forge(new(sealing, life, false)), dpopnonce.ErrUnknown, issues},
		{"sealed, expired", new(sealing, time.Second, false), dpopnonce.ErrExpired, issues},
		{"sealed, expired, used", new(sealing, time.Second, true), dpopnonce.ErrExpired, issues},
		{"sealed, used", new(sealing, life, true), dpopnonce.ErrUsed, 1 + issues},
		{"sealed", new(sealing, life, false), nil, 1 + issues},
		{"stored", new(e.Repository, life, false), nil, 1},
		{"stored, used", new(e.Repository, life, true), dpopnonce.ErrUsed, 2 - issues},
		{"stored, expired", new(e.Repository, time.Second, false), dpopnonce.ErrExpired, 2 - issues},
		{"unknown", "never-issued", dpopnonce.ErrUnknown, 2 - issues},
	}
	e.clock.Set(noon.Add(time.Second))
	return all
}

func sealedSuccessors(t *testing.T, e *env) {
	sealer := newSealer(t, purpose, suiteKey)
	for _, opts := range [][]dpopnonce.Option{nil, {dpopnonce.WithGroupCommit()}} {
		if opts != nil && !e.can(groupCommit) {
			continue
		}
		seals := e.repository(t, e.db, append(opts, dpopnonce.WithSealer(sealer))...)
		opens := e.repository(t, e.db, append(opts, dpopnonce.WithOpener(sealer))...)
		for _, n := range []struct {
			*dpopnonce.Repository
			seals  bool
			issues int
		}{{seals, true, 0}, {opens, false, 1}} {
			for _, inside := range []bool{false, true} {
				for _, c := range e.rotations(t, seals, n.issues) {
					sent := statements(t, e.db)
					var next string
					var err error
					if inside {
						wantIs(t, e.db.Transaction(func(tx *gorm.DB) error {
							next, err = n.WithTx(tx).Rotate(ctx, c.nonce, life)
							return nil
						}), nil)
					} else {
						next, err = n.Rotate(ctx, c.nonce, life)
						if all := sent(); len(all) != c.statement && e.can(oneStatementRotate) {
							t.Errorf("%s: %d statements, want %d: %q", c.name, len(all), c.statement, all)
						}
					}
					wantIs(t, err, c.want)
					if isSealed(next) != n.seals || next == c.nonce {
						t.Errorf("%s: successor %q", c.name, next)
					}
					wantIs(t, opens.Consume(ctx, next, life), nil)
					wantIs(t, seals.Consume(ctx, next, life), dpopnonce.ErrUsed)
					if c.want == nil {
						wantIs(t, seals.Consume(ctx, c.nonce, life), dpopnonce.ErrUsed)
					}
				}
			}
		}
	}
}

// sealedWithoutSuccessor breaks the INSERT of stored nonces, which an opener
// issues.
func sealedWithoutSuccessor(t *testing.T, e *env) {
	sealer := newSealer(t, purpose, suiteKey)
	opens := e.repository(t, e.db, dpopnonce.WithOpener(sealer))
	nonce, err := e.sealed(t).Issue(ctx, life)
	wantIs(t, err, nil)
	broken := errors.New("broken")
	on := true
	watch(t, e.db, func(tx *gorm.DB) {
		if sql := sqlOf(tx); on && strings.Contains(sql, "INSERT") && !bindsString(tx, nonce) {
			_ = tx.AddError(broken)
		}
	})
	for _, presented := range []string{nonce, forge(nonce), "never-issued", ""} {
		next, err := opens.Rotate(ctx, presented, life)
		wantFailure(t, err)
		wantIs(t, err, broken)
		if next != "" {
			t.Fatalf("Rotate returned %q", next)
		}
	}
	on = false
	wantIs(t, opens.Consume(ctx, nonce, life), nil)
}

func bindsString(tx *gorm.DB, s string) bool {
	for _, v := range tx.Statement.Vars {
		if v == s {
			return true
		}
	}
	return false
}
