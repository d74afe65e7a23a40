package session

import (
	"context"
	"database/sql"
	"reflect"
	"sync"

	"gorm.io/gorm"
)

// unlocked is a pool whose results are read at once. Package sql gives a
// connection back and then locks it once more to read how many rows there were:
// a caller whose statement is done would wait for the next caller's statement on
// that connection, also past the end of its own context.
type unlocked struct {
	gorm.ConnPool
	pool *sql.DB
}

// GetDBConn implements gorm.GetDBConnector.
func (u unlocked) GetDBConn() (*sql.DB, error) { return u.pool, nil }

// BeginTx implements gorm.ConnPoolBeginner, for callbacks of the application.
func (u unlocked) BeginTx(ctx context.Context, options *sql.TxOptions) (gorm.ConnPool, error) {
	switch pool := u.ConnPool.(type) {
	case gorm.TxBeginner:
		return pool.BeginTx(ctx, options)
	case gorm.ConnPoolBeginner:
		return pool.BeginTx(ctx, options)
	}
	return nil, gorm.ErrInvalidTransaction
}

func (u unlocked) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := u.ConnPool.ExecContext(ctx, query, args...)
	return unlock(result), err
}

var locker = reflect.TypeOf((*sync.Locker)(nil)).Elem()

// unlock returns a copy of a result of package sql that takes no lock. It needs
// none: by the time it is read the connection may have run other statements, so
// that a driver has to keep the count with the result. Other results are returned
// as they are.
func unlock(result sql.Result) sql.Result {
	v := reflect.ValueOf(result)
	if v.Kind() != reflect.Struct || v.NumField() == 0 || v.Type().Field(0).Type != locker {
		return result
	}
	free := reflect.New(v.Type()).Elem()
	free.Set(v)
	if !free.Field(0).CanSet() {
		return result
	}
	free.Field(0).Set(reflect.ValueOf(noLock{}))
	return free.Interface().(sql.Result)
}

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}
