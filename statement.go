package dpopnonce

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/attesto/dpopnonce/dialects"
	"github.com/google/uuid"
	"gorm.io/gorm"
)

// statements are a dialect's SQL on one table, ready to bind.
type statements struct {
	insert, consume, reason, valid, sweep statement
	insertAsync, rotate                   statement // without SQL where the dialect has none
	counted, serial                       bool

	// Shared by many callers; those without SQL are not needed.
	issueAll, consumeAll, rotateAll, updateAll, reasonAll, insertAll statement
}

// A statement is SQL in GORM's form, with a ? for every parameter.
type statement struct {
	sql    string
	params []param
}

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
	"@id":          func(_ dialects.Dialect, p *params) any { return p.id },
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
	if strings.Contains(sql, "?") {
		return s, fmt.Errorf("a ? may not appear")
	}
	s.sql = paramName.ReplaceAllStringFunc(sql, func(name string) string {
		value, ok := paramsByName[name]
		if !ok {
			err = fmt.Errorf("unknown parameter %s", name)
		}
		s.params = append(s.params, value)
		return "?"
	})
	return s, err
}

func (s statement) bind(d dialects.Dialect, p *params) []any {
	values := make([]any, len(s.params))
	for i, value := range s.params {
		values[i] = value(d, p)
	}
	return values
}

// exec runs s on db, the repository's own session or a transaction of it, and
// returns the count of rows that it changed.
func (r *Repository) exec(db *gorm.DB, s statement, p *params) (int64, error) {
	done := r.fresh(db).Exec(s.sql, s.bind(r.dialect, p)...)
	return done.RowsAffected, done.Error
}

// queryText runs s on db and returns the first column of its first row, as
// text, and whether there is a row.
func (r *Repository) queryText(db *gorm.DB, s statement, p *params) (text string, found bool, err error) {
	rows, err := r.fresh(db).Raw(s.sql, s.bind(r.dialect, p)...).Rows()
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

// fresh returns a new session on db's connection, on the primary: the setting
// is the one of gorm.io/plugin/dbresolver's Write, without the import, and the
// table is what selects a resolver.
func (r *Repository) fresh(db *gorm.DB) *gorm.DB {
	db = db.Session(&gorm.Session{NewDB: true}).Set("gorm:db_resolver:write", struct{}{})
	db.Statement.Table = r.table.String()
	return db
}
