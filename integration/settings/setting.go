package main

import (
	"cmp"
	"database/sql"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// A server is a database server, and how a pool on it is opened.
type server struct {
	dsn   string
	open  func(dsn string, params map[string]string, mode string) (*gorm.DB, error)
	modes []string // of the driver, between which the way of values differs
}

// A setting is something about a database that the other pool of its trial does
// not have, or that its table has.
type setting struct {
	kind        string // what it is a value of
	value, mode string
	open, other func() (*gorm.DB, error)
	altered     []string // is done to the table, {table}
}

func (s setting) String() string {
	if s.value == "" {
		return s.kind + ", " + s.mode
	}
	return s.kind + " = " + s.value + ", " + s.mode
}

// variables returns the settings of variables with values, as "a=1&b=2", in each
// mode of the driver.
func (s server) variables(params string) []setting {
	kind, value := params, ""
	set := parse(params)
	if len(set) == 1 {
		kind, value, _ = strings.Cut(params, "=")
		value = cmp.Or(value, "''")
	}
	return s.settings(kind, value, set)
}

// shape returns the settings of a table that is altered, in each mode.
func (s server) shape(kind string, altered ...string) []setting {
	all := s.settings(kind, "", nil)
	for i := range all {
		all[i].altered = altered
	}
	return all
}

func (s server) settings(kind, value string, set map[string]string) (all []setting) {
	for _, mode := range s.modes {
		all = append(all, setting{
			kind: kind, value: value, mode: mode,
			open:  func() (*gorm.DB, error) { return s.open(s.dsn, set, mode) },
			other: func() (*gorm.DB, error) { return s.open(s.dsn, nil, mode) },
		})
	}
	return all
}

func parse(params string) map[string]string {
	set := map[string]string{}
	for _, p := range strings.Split(params, "&") {
		if name, value, ok := strings.Cut(p, "="); ok {
			set[name] = value
		}
	}
	return set
}

// refused is the error of a connection that a server refuses with a setting.
type refused struct{ error }

// opened returns the handle of a pool, which some connections have to share.
func opened(pool *sql.DB, dialector gorm.Dialector) (*gorm.DB, error) {
	pool.SetMaxOpenConns(12)
	pool.SetMaxIdleConns(12)
	if err := pool.Ping(); err != nil {
		_ = pool.Close()
		return nil, refused{err}
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		_ = pool.Close()
	}
	return db, err
}

func closePool(db *gorm.DB) {
	if pool, err := db.DB(); err == nil {
		_ = pool.Close()
	}
}
