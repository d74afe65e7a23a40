package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"gorm.io/gorm/logger"
)

// quietLogger hands statements to the application's logger without their values,
// and without the errors that are no failure: what is repeated has not failed
// yet.
type quietLogger struct {
	logger.Interface
	dialect dialects.Dialect
	final   bool // nothing is repeated, as in a caller's transaction
}

func (l quietLogger) LogMode(level logger.LogLevel) logger.Interface {
	return quietLogger{l.Interface.LogMode(level), l.dialect, l.final}
}

func (l quietLogger) Trace(ctx context.Context, begin time.Time, fc func() (string, int64), err error) {
	if err != nil {
		fault, _ := l.dialect.Fault(err)
		b, ok := ctx.Value(boundKey{}).(*bound)
		switch {
		case fault == dialects.DuplicateNonce, fault == dialects.DuplicateKey, // an answer
			fault == dialects.NotATable, fault == dialects.Unshared, // other statements follow
			!l.final && (isRepeated(fault) || errors.Is(err, driver.ErrBadConn)):
			err = nil
		case ok:
			err = b.hide(err)
		}
	}
	l.Interface.Trace(ctx, begin, fc, err)
}

// ParamsFilter implements gorm.ParamsFilter.
func (quietLogger) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}
