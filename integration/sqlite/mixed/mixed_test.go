package mixed

import (
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/integration/dbtest"
	glebarez "github.com/glebarez/sqlite"
	mattn "gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

func TestDriversAcceptEachOthersNonces(t *testing.T) {
	file := "file:" + dbtest.SQLite(t)
	dbs := map[string]*gorm.DB{
		"mattn":    dbtest.Open(t, mattn.Open(file+"?_journal_mode=WAL&_busy_timeout=10000")),
		"glebarez": dbtest.Open(t, glebarez.Open(file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)")),
	}
	now := time.Date(2026, 3, 29, 0, 59, 30, 0, time.UTC)
	clock := func() time.Time { return now }
	for writer, from := range dbs {
		for consumer, to := range dbs {
			t.Run(writer+" to "+consumer, func(t *testing.T) {
				now = time.Date(2026, 3, 29, 0, 59, 30, 0, time.UTC)
				w := dbtest.Repository(t, from, dpopnonce.WithClock(clock))
				c := dbtest.Repository(t, to, dpopnonce.WithClock(clock))
				issued, err := w.Issue(t.Context(), time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				row := dpopnonce.DPoPNonce{Nonce: writer + "-" + consumer,
					IssuedAt: now.In(time.FixedZone("", 9*3600)), ExpiresAt: now.Add(time.Minute).In(time.FixedZone("", -5*3600))}
				if err := from.Create(&row).Error; err != nil {
					t.Fatal(err)
				}
				for _, nonce := range []string{issued, row.Nonce} {
					now = time.Date(2026, 3, 29, 1, 0, 30, 0, time.UTC)
					if err := c.Consume(t.Context(), nonce, time.Hour); err != dpopnonce.ErrExpired {
						t.Fatalf("at expires_at: got %v", err)
					}
					now = now.Add(-time.Second)
					if err := c.Consume(t.Context(), nonce, 58*time.Second); err != dpopnonce.ErrExpired {
						t.Fatalf("older than the ttl: got %v", err)
					}
					if err := c.Consume(t.Context(), nonce, 59*time.Second); err != nil {
						t.Fatal(err)
					}
					if err := w.Consume(t.Context(), nonce, time.Hour); err != dpopnonce.ErrUsed {
						t.Fatalf("second Consume: got %v", err)
					}
				}
			})
		}
	}
}
