package session

import (
	"context"
	"runtime"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

// Elsewhere reports whether the table's name, which has no schema, stands for
// something that is not where CREATE TABLE would look: a table of another schema
// in PostgreSQL's search_path, one of an attached SQLite database, a temporary one,
// or a view.
//
// Where there may be a transaction of the caller's it is not known, and false: on
// PostgreSQL, asking for a table that is absent would end the transaction.
func (c Conn) Elsewhere() (elsewhere bool, err error) {
	defer ignoreNilRow()
	if c.InTransaction() {
		return false, nil
	}
	// In this order, since another node may create the table at any time.
	if found, err := c.found(); err != nil || !found {
		return false, err
	}
	m := c.newStatement(c.ctx).Migrator()
	if m.HasTable(c.session.table) {
		return false, nil
	}
	// HasTable counts case, which SQLite does not, and knows no table of MariaDB's
	// that is versioned.
	tables, err := m.GetTables()
	for _, table := range tables {
		if strings.EqualFold(table, c.session.table) {
			return false, nil
		}
	}
	return err == nil, err
}

// found reports whether statements find the table. An error that says more than
// that is returned.
func (c Conn) found() (bool, error) {
	db := c.pooled(c.ctx)
	db = db.Session(&gorm.Session{Logger: uncertainLogger{db.Logger}})
	rows, err := db.Raw("SELECT 1 FROM ? WHERE 1 = 0", clause.Table{Name: c.session.table}).Rows()
	if err == nil {
		err = rows.Close()
	}
	if err == nil {
		return true, nil
	}
	if fault, _ := c.session.dialect.Fault(err); fault != dialects.Other || c.session.unsent(c.ctx, err) {
		return false, err
	}
	return false, nil
}

// uncertainLogger keeps the errors of a statement that may fail from the
// application's log.
type uncertainLogger struct{ logger.Interface }

func (l uncertainLogger) Trace(ctx context.Context, begin time.Time, fc func() (string, int64), _ error) {
	l.Interface.Trace(ctx, begin, fc, nil)
}

// ignoreNilRow is deferred around GORM's migrator, which reads a row without
// asking whether there is one: there is none where a callback of the application
// adds an error or sets DryRun.
func ignoreNilRow() {
	p := recover()
	if _, is := p.(runtime.Error); p != nil && !is {
		panic(p)
	}
}
