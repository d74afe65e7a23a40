package session

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// transaction runs fn in a transaction of a level, or as it is where there may
// be one of the caller's.
func (s *Session) transaction(ctx context.Context, level sql.IsolationLevel, fn func(Conn) error) error {
	if s.InTransaction {
		return s.plain(ctx, fn)
	}
	giveBack, err := s.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	db := Conn{session: s, db: s.db}.newStatement(ctx)
	// A transaction begins where the statements would go: BEGIN by itself runs
	// no callback, and would take the connection that dbresolver was given first.
	if resolve := db.Callback().Query().Get("gorm:db_resolver"); resolve != nil {
		resolve(db)
	}
	// GORM's own writes do with a wrapper that begins no transaction.
	if inner := poolOf(db.Statement.ConnPool); inner != nil && !begins(db.Statement.ConnPool) {
		db.Statement.ConnPool = inner
	}
	p := s.prepared
	if p != nil && db.Statement.ConnPool == gorm.ConnPool(p.DB) {
		p.prepareWanted(ctx)
	} else {
		p = nil
	}
	return db.Transaction(func(tx *gorm.DB) error {
		conn := Conn{s, ctx, tx, tx.Statement.ConnPool}
		if begun, is := conn.tx.(*sql.Tx); is && p != nil {
			conn.tx = preparedTx{begun, p}
		}
		return fn(conn)
	}, &sql.TxOptions{Isolation: level})
}

// plain runs fn as it is, each statement by itself.
func (s *Session) plain(ctx context.Context, fn func(Conn) error) error {
	return fn(Conn{session: s, ctx: ctx, db: s.db})
}
