package dpopnonce

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// statements are a dialect's SQL on one table, ready to bind.
type statements struct {
	insert, consume, reason, valid, sweep statement
	insertAsync, insertAsyncAgain, rotate statement // without SQL where the dialect has none
	counted, serial                       bool

	// Shared by many callers; those without SQL are not needed.
	issueAll, consumeAll, rotateAll, updateAll, reasonAll, insertAll statement
}

// A statement is SQL, cut at its parameters: text, parameter, text, and so on.
type statement struct {
	texts  []string // one more than params
	params []param
}

func (s statement) absent() bool { return len(s.texts) == 0 }

// params are the values that statements bind; each uses those it names.
type params struct {
	id        uuid.UUID
	nonce     string
	next      string
	now       time.Time
	ttl       time.Duration
	issuedAt  time.Time
	expiresAt time.Time
	limit     int

	nonces []string // presented by many callers, each once, in order
	locked []string // the ids of those that are locked
	ids    []uuid.UUID
	nexts  []string
}

// A param reads one value of params, as the dialect binds it.
type param func(d dialects.Dialect, p *params) any

// paramsByName are the parameters that package dialects documents.
var paramsByName = map[string]param{
	"@id":          func(_ dialects.Dialect, p *params) any { return p.id.String() },
	"@nonce":       func(_ dialects.Dialect, p *params) any { return p.nonce },
	"@next":        func(_ dialects.Dialect, p *params) any { return p.next },
	"@now":         func(d dialects.Dialect, p *params) any { return d.Instant(p.now) },
	"@next_second": func(d dialects.Dialect, p *params) any { return d.Instant(p.now.Add(time.Second)) },
	"@oldest":      func(d dialects.Dialect, p *params) any { return d.Instant(p.now.Add(-p.ttl)) },
	"@issued_at":   func(d dialects.Dialect, p *params) any { return d.Instant(p.issuedAt) },
	"@expires_at":  func(d dialects.Dialect, p *params) any { return d.Instant(p.expiresAt) },
	"@limit":       func(_ dialects.Dialect, p *params) any { return p.limit },
	"@nonces":      func(_ dialects.Dialect, p *params) any { return p.nonces },
	"@locked":      func(_ dialects.Dialect, p *params) any { return p.locked },
	"@nonce_array": func(_ dialects.Dialect, p *params) any { return textArray(p.nonces) },
	"@id_array":    func(_ dialects.Dialect, p *params) any { return uuidArray(p.ids) },
	"@next_array":  func(_ dialects.Dialect, p *params) any { return textArray(p.nexts) },
	"@next_rows":   func(d dialects.Dialect, p *params) any { return newRows(d, p) },
}

var paramName = regexp.MustCompile(`@\w+`)

func compileAll(d dialects.Dialect, t dialects.Table) (s statements, err error) {
	text := d.SQL(t)
	s.counted, s.serial = text.Counted, text.Serial
	for _, c := range []struct {
		name, sql string
		to        *statement
		optional  bool
	}{
		{"Insert", text.Insert, &s.insert, false},
		{"Consume", text.Consume, &s.consume, false},
		{"Reason", text.Reason, &s.reason, false},
		{"Valid", text.Valid, &s.valid, false},
		{"Sweep", text.Sweep, &s.sweep, false},
		{"InsertAsync", text.InsertAsync, &s.insertAsync, true},
		{"InsertAsyncAgain", text.InsertAsyncAgain, &s.insertAsyncAgain, true},
		{"Rotate", text.Rotate, &s.rotate, true},
		{"IssueAll", text.IssueAll, &s.issueAll, true},
		{"ConsumeAll", text.ConsumeAll, &s.consumeAll, true},
		{"RotateAll", text.RotateAll, &s.rotateAll, true},
		{"UpdateAll", text.UpdateAll, &s.updateAll, true},
		{"ReasonAll", text.ReasonAll, &s.reasonAll, true},
		{"InsertAll", text.InsertAll, &s.insertAll, true},
	} {
		if c.optional && c.sql == "" {
			continue
		}
		if *c.to, err = compile(c.sql); err != nil {
			return s, fmt.Errorf("dialect %s: SQL.%s: %w", d.Name(), c.name, err)
		}
	}
	return s, nil
}

func compile(sql string) (s statement, err error) {
	if strings.TrimSpace(sql) == "" {
		return s, fmt.Errorf("no statement")
	}
	s.texts = paramName.Split(sql, -1)
	for _, name := range paramName.FindAllString(sql, -1) {
		value, ok := paramsByName[name]
		if !ok {
			return s, fmt.Errorf("unknown parameter %s", name)
		}
		s.params = append(s.params, value)
	}
	return s, nil
}

// bound is a statement with its values: GORM takes it for the one ? of "?",
// which spares it the search for others in every statement.
type bound struct {
	statement
	dialect dialects.Dialect
	values  *params
}

// Build is the one of [clause.Expression].
func (b bound) Build(to clause.Builder) {
	for i, text := range b.texts {
		if i > 0 {
			to.AddVar(to, b.params[i-1](b.dialect, b.values))
		}
		_, _ = to.WriteString(text) // into memory
	}
}

// exec runs s on db, the repository's own session or a transaction of it, and
// returns the count of rows that it changed.
func (r *Repository) exec(ctx context.Context, db *gorm.DB, s statement, p *params) (int64, error) {
	done := r.fresh(ctx, db).Exec("?", bound{s, r.dialect, p})
	return done.RowsAffected, done.Error
}

// query runs s on db.
func (r *Repository) query(ctx context.Context, db *gorm.DB, s statement, p *params) (*sql.Rows, error) {
	return r.fresh(ctx, db).Raw("?", bound{s, r.dialect, p}).Rows()
}

// queryText runs s on db and returns the first column of its first row, as
// text, and whether there is a row.
func (r *Repository) queryText(ctx context.Context, db *gorm.DB, s statement, p *params) (text string, found bool, err error) {
	rows, err := r.query(ctx, db, s, p)
	if err != nil {
		return "", false, err
	}
	defer rows.Close()
	if rows.Next() {
		found = true
		if err := rows.Scan(&text); err != nil {
			return "", false, err
		}
	}
	if err := rows.Err(); err != nil {
		return "", false, err
	}
	return text, found, rows.Close()
}

// fresh returns a new statement of db, the repository's own session or a
// transaction of it, on the primary: the setting is the one of
// gorm.io/plugin/dbresolver's Write, without the import, and the table is what
// selects a resolver. The context is set by hand, since WithContext would copy
// the session once more.
func (r *Repository) fresh(ctx context.Context, db *gorm.DB) *gorm.DB {
	db = db.Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Context = ctx
	db.Statement.Table = r.table.String()
	return db
}
