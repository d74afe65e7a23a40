package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/go-jose/go-jose/v4"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// A store holds what all nodes of the server share.
type store struct {
	db     *gorm.DB
	as, rs *dpopnonce.Repository // one for each role (RFC 9449 section 9)
	key    jose.JSONWebKey       // signs access tokens
}

func openStore(ctx context.Context, c config, log *slog.Logger) (s *store, err error) {
	dialector := sqlite.Open("file:" + c.file + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")
	if c.dsn != "" {
		dialector = postgres.Open(c.dsn)
	}
	s = &store{}
	s.db, err = gorm.Open(dialector, &gorm.Config{
		Logger: logger.NewSlogLogger(log, logger.Config{LogLevel: logger.Warn, SlowThreshold: time.Second, ParameterizedQueries: true}),
	})
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) migrate(ctx context.Context) (err error) {
	if s.as, err = dpopnonce.NewRepository(s.db, dpopnonce.WithTable("as_dpop_nonces"), dpopnonce.WithGroupCommit()); err != nil {
		return err
	}
	if s.rs, err = dpopnonce.NewRepository(s.db, dpopnonce.WithTable("rs_dpop_nonces"), dpopnonce.WithGroupCommit()); err != nil {
		return err
	}
	for _, nonces := range []*dpopnonce.Repository{s.as, s.rs} {
		if err := nonces.Migrate(ctx); err != nil {
			return err
		}
	}
	if err := s.db.WithContext(ctx).AutoMigrate(&seenProof{}, &signingKey{}); err != nil {
		return err
	}
	return s.loadKey(ctx)
}

func (s *store) close() {
	if pool, err := s.db.DB(); err == nil {
		_ = pool.Close()
	}
}

// sweepEvery deletes expired nonces and proofs until ctx ends, and then closes
// the channel.
func (s *store) sweepEvery(ctx context.Context, interval time.Duration) <-chan struct{} {
	var running sync.WaitGroup
	for _, nonces := range []*dpopnonce.Repository{s.as, s.rs} {
		running.Go(func() { _ = nonces.SweepEvery(ctx, interval) })
	}
	running.Go(func() {
		for tick := time.NewTicker(interval); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C: // GORM logs a failure, and the next tick tries again
				s.db.WithContext(ctx).Where("expires_at < ?", time.Now().UTC()).Delete(&seenProof{})
			}
		}
	})
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	return done
}

// A seenProof is an accepted proof. No node accepts its jti again.
type seenProof struct {
	ID        string    `gorm:"primaryKey;type:varchar(64)"`
	ExpiresAt time.Time `gorm:"index"`
}

// first stores id and reports whether it is the first time.
func (s *store) first(ctx context.Context, id string, expiresAt time.Time) (bool, error) {
	done := s.db.WithContext(ctx).Clauses(clause.OnConflict{DoNothing: true}).
		Create(&seenProof{ID: id, ExpiresAt: expiresAt.UTC()})
	return done.RowsAffected == 1, done.Error
}

// A signingKey is shared by all nodes and survives restarts. In production it
// belongs into a key management service.
type signingKey struct {
	ID  int `gorm:"primaryKey"`
	JWK string
}

func (s *store) loadKey(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	text, err := jose.JSONWebKey{Key: key, Algorithm: string(jose.ES256), Use: "sig"}.MarshalJSON()
	if err != nil {
		return err
	}
	row := signingKey{ID: 1, JWK: string(text)}
	db := s.db.WithContext(ctx)
	if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
		return err
	}
	if err := db.Take(&row, 1).Error; err != nil { // the first node's key
		return err
	}
	return s.key.UnmarshalJSON([]byte(row.JWK))
}
