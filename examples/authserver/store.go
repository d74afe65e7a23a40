package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpopotel"
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
	key    jose.JSONWebKey // signs access tokens
	sealer *dpopnonce.Sealer
	nonces *dpopnonce.Repository // of both roles, and of proofs

	metrics *metrics
	log     *slog.Logger
}

func openStore(ctx context.Context, c config, log *slog.Logger) (s *store, err error) {
	// database/sql opens a connection for each concurrent call by default. SQLite
	// has one writer at a time: more connections only wait for its lock, asleep,
	// and find it in no order. A PostgreSQL refuses the 101st, of all nodes.
	dialector, connections := sqlite.Open("file:"+c.file+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"), 4
	if c.dsn != "" {
		dialector, connections = postgres.Open(c.dsn), 20
	}
	s = &store{log: log}
	s.db, err = gorm.Open(dialector, &gorm.Config{
		Logger: logger.NewSlogLogger(log, logger.Config{LogLevel: logger.Warn, SlowThreshold: time.Second, ParameterizedQueries: true}),
	})
	if err != nil {
		return nil, err
	}
	pool, err := s.db.DB()
	if err == nil {
		pool.SetMaxOpenConns(connections)
		pool.SetMaxIdleConns(connections)
		err = s.migrate(ctx, c)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) migrate(ctx context.Context, c config) error {
	if err := s.db.WithContext(ctx).AutoMigrate(&grant{}, &secret{}); err != nil {
		return err
	}
	if err := s.loadSecrets(ctx, c.now); err != nil {
		return err
	}
	options := []dpopnonce.Option{dpopnonce.WithSealer(s.sealer), dpopnonce.WithClock(c.now), dpopnonce.WithGroupCommit()}
	if c.metrics {
		var err error
		if s.metrics, err = newMetrics(); err != nil {
			return err
		}
		observe, err := s.metrics.observe()
		if err != nil {
			return err
		}
		options = append(options, observe)
	}
	nonces, err := dpopnonce.NewRepository(s.db, options...)
	if err != nil {
		return err
	}
	s.nonces = nonces
	if s.metrics != nil {
		if _, err := dpopotel.SweepLag(s.metrics.provider, nonces); err != nil {
			return err
		}
	}
	return nonces.Migrate(ctx)
}

func (s *store) close() {
	s.metrics.close()
	if pool, err := s.db.DB(); err == nil {
		_ = pool.Close()
	}
}

// sweepEvery deletes expired nonces, proofs and grants until ctx ends, and then
// closes the channel.
func (s *store) sweepEvery(ctx context.Context, interval time.Duration) <-chan struct{} {
	done := make(chan struct{})
	grants := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.nonces.SweepEvery(ctx, interval)
		<-grants
	}()
	go func() {
		defer close(grants)
		for tick := time.NewTicker(interval); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C: // GORM logs a failure, and the next tick tries again
				s.db.WithContext(ctx).Where("expires_at < ?", time.Now().UTC()).Delete(&grant{})
			}
		}
	}()
	return done
}

// A secret is shared by all nodes and survives restarts. In production it belongs
// into a key management service.
type secret struct {
	Name string `gorm:"primaryKey;type:varchar(32)"`
	Text string
}

// load returns the secret of this name: the first node's.
func (s *store) load(ctx context.Context, name, fresh string) (string, error) {
	row, db := secret{name, fresh}, s.db.WithContext(ctx)
	if err := db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row).Error; err != nil {
		return "", err
	}
	err := db.Take(&row, "name = ?", name).Error
	return row.Text, err
}

func (s *store) loadSecrets(ctx context.Context, clock func() time.Time) error {
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	fresh, err := jose.JSONWebKey{Key: signing, Algorithm: string(jose.ES256), Use: "sig"}.MarshalJSON()
	if err != nil {
		return err
	}
	text, err := s.load(ctx, "access tokens", string(fresh))
	if err != nil {
		return err
	}
	if err := s.key.UnmarshalJSON([]byte(text)); err != nil {
		return err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	if text, err = s.load(ctx, "nonces", base64.StdEncoding.EncodeToString(random)); err != nil {
		return err
	}
	key, err := dpopnonce.ParseKey(text)
	if err != nil {
		return err
	}
	s.sealer, err = dpopnonce.NewSealer(dpopnonce.SealerConfig{Purpose: "authserver", Keys: []dpopnonce.Key{key}, Clock: clock})
	return err
}
