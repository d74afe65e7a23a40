package load

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/attesto/dpopnonce"
	mysqldriver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// A store is under test: the library, or a broken one.
type store interface {
	Issue(ctx context.Context, ttl time.Duration) (string, error)
	Consume(ctx context.Context, nonce string, ttl time.Duration) error
	Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error)
	Spend(ctx context.Context, id string, until time.Time) error
}

// Open opens the database of c.
func (c Config) Open() (*gorm.DB, error) {
	_ = mysqldriver.SetLogger(&mysqldriver.NopLogger{}) // broken connections are expected
	dialector, ok := map[string]func(string) gorm.Dialector{
		"postgres": postgres.Open, "mysql": mysql.Open, "sqlite": sqlite.Open,
	}[c.Driver]
	if !ok {
		return nil, fmt.Errorf("unknown driver %q", c.Driver)
	}
	db, err := gorm.Open(dialector(c.DSN), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	size := c.Pool
	if size == 0 {
		size = c.Callers
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return db, nil
}

// Repository opens the database of c with the library.
func (c Config) Repository(opts ...dpopnonce.Option) (*dpopnonce.Repository, *gorm.DB, error) {
	db, err := c.Open()
	if err != nil {
		return nil, nil, err
	}
	r, err := dpopnonce.NewRepository(db, append(c.Options(), opts...)...)
	return r, db, err
}

// Options returns the options of a repository.
func (c Config) Options() []dpopnonce.Option {
	opts := []dpopnonce.Option{dpopnonce.WithClock(c.now)}
	if c.GroupCommit {
		opts = append(opts, dpopnonce.WithGroupCommit())
	}
	return opts
}

// Stores whose violations the checker has to find.
const (
	// LookFirst looks whether a nonce or proof is good, and then stores that it is
	// not, whatever others have stored since.
	LookFirst = "look first, then store"

	// NeverExpires is the library with a clock that stands still.
	NeverExpires = "a clock that stands still"
)

type lookFirst struct {
	*dpopnonce.Repository
	db *gorm.DB
}

func (s lookFirst) Consume(ctx context.Context, nonce string, ttl time.Duration) error {
	if err := s.Check(ctx, nonce, ttl); err != nil {
		return err
	}
	if err := s.Repository.Consume(ctx, nonce, ttl); !errors.Is(err, dpopnonce.ErrUsed) {
		return err
	}
	return nil
}

func (s lookFirst) Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error) {
	if err := s.Consume(ctx, nonce, ttl); err != nil {
		return "", err
	}
	return s.Issue(ctx, ttl)
}

func (s lookFirst) Spend(ctx context.Context, id string, until time.Time) error {
	digest := sha256.Sum256([]byte(id))
	var rows int64
	stored := s.db.WithContext(ctx).Model(&dpopnonce.DPoPNonce{}).Where("nonce = ?", base64.RawURLEncoding.EncodeToString(digest[:])).Count(&rows)
	if stored.Error != nil {
		return stored.Error
	}
	if rows > 0 {
		return dpopnonce.ErrReplayed
	}
	if err := s.Repository.Spend(ctx, id, until); !errors.Is(err, dpopnonce.ErrReplayed) {
		return err
	}
	return nil
}
