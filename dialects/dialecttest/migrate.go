package dialecttest

import (
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm/clause"
)

var migrateCases = []testCase{
	{name: "may be run by 8 nodes at once, and again", run: func(t *testing.T, e *env) {
		connect(t, e.db)
		for n := 0; n < 3; n++ {
			name := newName()
			e.dropLater(t, name)
			r := e.repository(t, e.db, dpopnonce.WithTable(name))
			for i := 0; i < 2; i++ {
				for _, err := range race(8, func(int) error { return r.Migrate(ctx) }) {
					wantIs(t, err, nil)
				}
			}
			usable(t, r)
		}
	}},
	{name: "alters nothing that is there", run: func(t *testing.T, e *env) {
		nonce := e.issue(t, time.Minute)
		sent := statements(t, e.db)
		migrate(t, e.Repository)
		for _, sql := range sent() {
			sql = strings.ToUpper(strings.TrimSpace(sql))
			if !strings.HasPrefix(sql, "SELECT") && !(strings.HasPrefix(sql, "CREATE") && strings.Contains(sql, "IF NOT EXISTS")) {
				t.Errorf("sent %s", sql)
			}
		}
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "adds the indexes that a table lacks", run: func(t *testing.T, e *env) {
		e.dropNonceIndex(t)
		migrate(t, e.Repository)
		usable(t, e.Repository)
	}},
	{name: "Schema is all that a migration tool needs", run: func(t *testing.T, e *env) {
		name := newName()
		e.dropLater(t, name)
		r := e.repository(t, e.db, dpopnonce.WithTable(name))
		for _, ddl := range r.Schema() {
			wantIs(t, e.exec(ddl), nil)
		}
		usable(t, r)
		migrate(t, r)
	}},
	{name: "prefixed names and two tables in one schema each have their own unique index", run: func(t *testing.T, e *env) {
		prefix := "Acme_" + newName()
		long := prefix + strings.Repeat("x", 62-len(prefix))
		var all []*dpopnonce.Repository
		for _, name := range []string{prefix, prefix + "-2", long + "1", long + "2"} {
			e.dropLater(t, name)
			r := e.repository(t, e.db, dpopnonce.WithTable(name))
			migrate(t, r)
			all = append(all, r)
		}
		for _, r := range all {
			usable(t, r)
			_, err := r.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
			wantIs(t, err, nil)
		}
		for _, r := range all {
			_, err := r.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
			wantIs(t, err, dpopnonce.ErrDuplicate)
			wantIs(t, r.Consume(ctx, "same", time.Minute), nil)
		}
	}},
	{name: "nonces of two tables are apart", run: func(t *testing.T, e *env) {
		name := newName()
		e.dropLater(t, name)
		other := e.repository(t, e.db, dpopnonce.WithTable(name))
		migrate(t, other)
		nonce := e.issue(t, time.Minute)
		wantIs(t, other.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUnknown)
		wantIs(t, e.consume(nonce), nil)
	}},
	{name: "a table may be named with its schema", needs: known, run: func(t *testing.T, e *env) {
		name := e.schema(t) + "." + newName()
		e.dropLater(t, name)
		r := e.repository(t, e.db, dpopnonce.WithTable(name))
		migrate(t, r)
		migrate(t, r)
		usable(t, r)
	}},
}

// schema returns a schema to put a table in: a new one, or the one that every
// connection has.
func (e *env) schema(t *testing.T) string {
	t.Helper()
	switch e.has.database {
	case "postgres":
		name := "auth_" + newName()
		wantIs(t, e.exec("CREATE SCHEMA ?", clause.Table{Name: name}), nil)
		t.Cleanup(func() {
			if err := e.exec("DROP SCHEMA ? CASCADE", clause.Table{Name: name}); err != nil {
				t.Error(err)
			}
		})
		return name
	case "mysql":
		return e.db.Migrator().CurrentDatabase()
	default:
		return "main"
	}
}

// usable fails unless r accepts a nonce once and knows a duplicate.
func usable(t *testing.T, r *dpopnonce.Repository) {
	t.Helper()
	_, err := r.Insert(ctx, changeset("usable", noon, noon.Add(time.Minute)))
	wantIs(t, err, nil)
	_, err = r.Insert(ctx, changeset("usable", noon, noon.Add(time.Minute)))
	wantIs(t, err, dpopnonce.ErrDuplicate)
	wantIs(t, r.Consume(ctx, "usable", time.Minute), nil)
	wantIs(t, r.Consume(ctx, "usable", time.Minute), dpopnonce.ErrUsed)
}
