package session

import (
	"database/sql"
	"reflect"

	"gorm.io/gorm"
)

// poolOf returns the *sql.DB behind pool, or nil if pool may be a transaction of
// the caller's. A ConnPool of the application's, as for tracing or metrics, is
// the pool that it gives by GORM's GetDBConnector. A transaction may give one as
// well, as GORM's PreparedStmtTX does, and what has the methods of a connection
// may be in a transaction that was begun by hand.
func poolOf(pool gorm.ConnPool) *sql.DB {
	switch pool := pool.(type) {
	case *sql.DB:
		return pool
	case *gorm.PreparedStmtDB:
		return poolOf(pool.ConnPool)
	case gorm.TxCommitter, interface{ Raw(func(any) error) error }:
		return nil
	case gorm.GetDBConnector:
		if db, err := pool.GetDBConn(); err == nil {
			return db
		}
	}
	return nil
}

// begins reports whether pool can begin a transaction.
func begins(pool gorm.ConnPool) bool {
	switch pool := pool.(type) {
	case *gorm.PreparedStmtDB:
		return begins(pool.ConnPool)
	case gorm.TxBeginner, gorm.ConnPoolBeginner:
		return true
	}
	return false
}

// neverBegan reports whether pool is what a Begin that failed leaves behind:
// none, or a nil *sql.Tx, which panics.
func neverBegan(pool gorm.ConnPool) bool {
	if pool == nil {
		return true
	}
	if prepared, ok := pool.(*gorm.PreparedStmtTX); ok {
		return prepared == nil || prepared.Tx == nil || neverBegan(prepared.Tx)
	}
	v := reflect.ValueOf(pool)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
