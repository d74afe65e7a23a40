package load

import (
	"context"
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
func (c Config) Repository() (*dpopnonce.Repository, *gorm.DB, error) {
	db, err := c.Open()
	if err != nil {
		return nil, nil, err
	}
	now := c.now
	if c.Store == NeverExpires {
		start := now()
		now = func() time.Time { return start }
	}
	opts := []dpopnonce.Option{dpopnonce.WithClock(now)}
	if c.GroupCommit {
		opts = append(opts, dpopnonce.WithGroupCommit())
	}
	r, err := dpopnonce.NewRepository(db, opts...)
	return r, db, err
}

// Stores whose violations the checker has to find.
const (
	// GetThenDelete reads a nonce and then deletes it, and ignores the count of
	// deleted rows.
	GetThenDelete = "get, then delete"

	// NeverExpires is the library with a clock that stands still.
	NeverExpires = "a clock that stands still"
)

func (c Config) open() (store, error) {
	r, db, err := c.Repository()
	if err != nil || c.Store != GetThenDelete {
		return r, err
	}
	return getThenDelete{r, db, c}, nil
}

type getThenDelete struct {
	*dpopnonce.Repository
	db *gorm.DB
	c  Config
}

func (s getThenDelete) Consume(ctx context.Context, nonce string, _ time.Duration) error {
	db := s.db.WithContext(ctx)
	var row dpopnonce.DPoPNonce
	done := db.Where("nonce = ? AND expires_at > ?", nonce, s.c.now()).Limit(1).Find(&row)
	if done.Error != nil {
		return done.Error
	}
	if done.RowsAffected == 0 {
		return dpopnonce.ErrUnknown
	}
	return db.Where("nonce = ?", nonce).Delete(&dpopnonce.DPoPNonce{}).Error
}

func (s getThenDelete) Rotate(ctx context.Context, nonce string, ttl time.Duration) (string, error) {
	if err := s.Consume(ctx, nonce, ttl); err != nil {
		return "", err
	}
	return s.Issue(ctx, ttl)
}
