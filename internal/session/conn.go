package session

import (
	"context"
	"database/sql"
	"errors"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
)

// A Conn is where the statements of one call run: the pool or a transaction,
// and the call's context.
type Conn struct {
	session *Session
	ctx     context.Context
	db      *gorm.DB
	tx      gorm.ConnPool // of a transaction of the session's own, else nil
}

// InTransaction reports whether statements may be in a transaction, of the
// caller's or of this package's.
func (c Conn) InTransaction() bool {
	if c.session.InTransaction {
		return true
	}
	_, is := c.db.Statement.ConnPool.(gorm.TxCommitter)
	return is
}

// Exec runs a statement that writes and returns how many rows it changed.
func (c Conn) Exec(sql string, values Values) (int64, error) {
	b, err := c.bind(sql, values)
	if err != nil {
		return 0, err
	}
	defer b.hidePanic()
	giveBack, err := c.takeTurn()
	if err != nil {
		return 0, err
	}
	defer giveBack()
	done := c.pooled(b).Exec("?", b)
	if c.renewed(done.Error) {
		done = c.pooled(b).Exec("?", b)
	}
	if done.Error == nil && done.DryRun { // a callback's doing
		return 0, gorm.ErrDryRunModeUnsupported
	}
	return done.RowsAffected, b.hide(done.Error)
}

// takeTurn is Session.takeTurn for a statement: its transaction has the turn
// already.
func (c Conn) takeTurn() (giveBack func(), err error) {
	if c.InTransaction() {
		return func() {}, nil
	}
	return c.session.takeTurn(c.ctx)
}

// Row runs a statement that only reads, scans its first row into dest, and
// reports whether there is one.
func (c Conn) Row(sql string, values Values, dest ...any) (found bool, err error) {
	b, err := c.bind(sql, values)
	if err != nil {
		return false, err
	}
	defer b.hidePanic()
	found, err = c.first(b, dest)
	return found && err == nil, b.hide(err)
}

func (c Conn) first(b *bound, dest []any) (found bool, err error) {
	statement := c.pooled(b).Raw("?", b)
	defer closeRows(statement)
	rows, err := rowsOf(statement)
	if err != nil {
		return false, err
	}
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(dest...); err != nil {
		return false, err
	}
	return true, rows.Close()
}

// Rows runs a statement and calls each with what scans a row, for all rows.
func (c Conn) Rows(sql string, values Values, each func(scan func(dest ...any) error) error) error {
	b, err := c.bind(sql, values)
	if err != nil {
		return err
	}
	defer b.hidePanic()
	return b.hide(c.read(b, each))
}

// Returning is Rows for a statement that writes.
func (c Conn) Returning(sql string, values Values, each func(scan func(dest ...any) error) error) error {
	giveBack, err := c.takeTurn()
	if err != nil {
		return err
	}
	defer giveBack()
	return c.Rows(sql, values, each)
}

func (c Conn) read(b *bound, each func(scan func(dest ...any) error) error) error {
	err := c.all(b, each)
	if c.renewed(err) {
		err = c.all(b, each)
	}
	return err
}

func (c Conn) all(b *bound, each func(scan func(dest ...any) error) error) error {
	statement := c.pooled(b).Raw("?", b)
	defer closeRows(statement)
	rows, err := rowsOf(statement)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// rowsOf runs a statement.
func rowsOf(statement *gorm.DB) (*sql.Rows, error) {
	rows, err := statement.Rows()
	if err == nil && rows == nil {
		err = errors.New("a callback left no rows of the statement")
	}
	return rows, err
}

// closeRows gives the connection of a statement's rows back. They are there also
// where a callback, or the logger, has failed or panicked after them.
func closeRows(statement *gorm.DB) {
	if rows, are := statement.Statement.Dest.(*sql.Rows); are && rows != nil {
		_ = rows.Close()
	}
}

// renewed reports whether the statement that ended with err may be repeated. SQLite
// prepares it by the connection's copy of the schema, which may be from before
// the unique index: reading the schema renews it. Outside of a transaction that
// would be any connection's.
func (c Conn) renewed(err error) bool {
	if err == nil || !c.session.takesTurns || !c.InTransaction() {
		return false
	}
	fault, _ := c.session.dialect.Fault(err)
	return fault == dialects.NoUniqueIndex && c.Has()
}

// DDL runs a statement without values. MySQL prints the value that keeps it from
// creating a unique index.
func (c Conn) DDL(sql string) error {
	giveBack, err := c.takeTurn()
	if err != nil {
		return err
	}
	defer giveBack()
	err = c.pooled(c.ctx).Exec(sql).Error
	if err != nil {
		if fault, _ := c.session.dialect.Fault(err); fault == dialects.DuplicateNonce || fault == dialects.DuplicateKey {
			return &hiddenError{"the table has rows with the same value in a unique column", err}
		}
	}
	return err
}

// Has reports whether the table and these indexes of it are there, as far as
// GORM finds them.
func (c Conn) Has(indexes ...string) (has bool) {
	defer ignoreNilRow()
	m := c.newStatement(c.ctx).Migrator()
	if !m.HasTable(c.session.table) {
		return false
	}
	for _, index := range indexes {
		if !m.HasIndex(c.session.table, index) {
			return false
		}
	}
	return true
}

// newStatement returns a new GORM statement, on the primary: the setting is that
// of gorm.io/plugin/dbresolver's Write, without the import, and the table is what
// selects a resolver. The context is set by hand, since WithContext would copy
// the session once more.
func (c Conn) newStatement(ctx context.Context) *gorm.DB {
	db := c.db.Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Context = ctx
	db.Statement.Table = c.session.table
	return db
}

// pooled is newStatement on what the session runs its statements on. Callbacks
// may still choose another pool, as dbresolver does.
func (c Conn) pooled(ctx context.Context) *gorm.DB {
	db := c.newStatement(ctx)
	switch {
	case c.tx != nil:
		db.Statement.ConnPool = c.tx
	case !c.InTransaction():
		db.Statement.ConnPool = c.session.conns
	}
	return db
}
