package dialecttest

import (
	"strings"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
)

var migrateCases = []testCase{
	{name: "8 nodes at once succeed, and again", run: migrateManyNodes},
	{name: "alters nothing that exists", run: migrateAltersNothing},
	{name: "adds the indexes that a table lacks", run: migrateAddsIndexes},
	{name: "a migration tool needs only Schema", run: schemaSuffices},
	{name: "gives each table its own unique index", run: indexPerTable},
	{name: "keeps the nonces of two tables apart", run: tablesAreApart},
	{name: "creates a table in a named schema", run: tableInSchema, needs: schemas},
}

// on returns a repository on a table of that name, which the case drops.
func (e *env) on(t *testing.T, table string) *dpopnonce.Repository {
	t.Helper()
	e.dropLater(t, table)
	return e.repository(t, e.db, dpopnonce.WithTable(table))
}

// wantUsable fails unless r accepts a nonce once and reports a duplicate.
func wantUsable(t *testing.T, r *dpopnonce.Repository) {
	t.Helper()
	_, err := r.Insert(ctx, changeset("usable", noon, noon.Add(time.Minute)))
	wantIs(t, err, nil)
	_, err = r.Insert(ctx, changeset("usable", noon, noon.Add(time.Minute)))
	wantIs(t, err, dpopnonce.ErrDuplicate)
	wantIs(t, r.Consume(ctx, "usable", time.Minute), nil)
	wantIs(t, r.Consume(ctx, "usable", time.Minute), dpopnonce.ErrUsed)
}

func migrateManyNodes(t *testing.T, e *env) {
	connect(t, e.db)
	for n := 0; n < 3; n++ {
		r := e.on(t, newName())
		for i := 0; i < 2; i++ {
			wantAll(t, race(8, func(int) error { return r.Migrate(ctx) }), nil)
		}
		wantUsable(t, r)
	}
}

func migrateAltersNothing(t *testing.T, e *env) {
	nonce := e.issue(t, time.Minute)
	sent := statements(t, e.db)
	migrate(t, e.Repository)
	for _, sql := range sent() {
		sql = strings.ToUpper(sql)
		if !strings.HasPrefix(sql, "SELECT") && !(strings.HasPrefix(sql, "CREATE") && strings.Contains(sql, "IF NOT EXISTS")) {
			t.Errorf("sent %s", sql)
		}
	}
	wantIs(t, e.consume(nonce), nil)
}

func migrateAddsIndexes(t *testing.T, e *env) {
	e.dropNonceIndex(t)
	migrate(t, e.Repository)
	wantUsable(t, e.Repository)
}

func schemaSuffices(t *testing.T, e *env) {
	r := e.on(t, newName())
	for _, ddl := range r.Schema() {
		wantIs(t, e.exec(ddl), nil)
	}
	wantUsable(t, r)
	migrate(t, r)
}

// indexPerTable tries names with a prefix, and names so long that the name of
// an index has to be shortened.
func indexPerTable(t *testing.T, e *env) {
	prefix := "Acme_" + newName()
	long := prefix + strings.Repeat("x", 62-len(prefix))
	var all []*dpopnonce.Repository
	for _, name := range []string{prefix, prefix + "-2", long + "1", long + "2"} {
		r := e.on(t, name)
		migrate(t, r)
		all = append(all, r)
	}
	for _, r := range all {
		wantUsable(t, r)
		_, err := r.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
		wantIs(t, err, nil)
	}
	for _, r := range all {
		_, err := r.Insert(ctx, changeset("same", noon, noon.Add(time.Minute)))
		wantIs(t, err, dpopnonce.ErrDuplicate)
		wantIs(t, r.Consume(ctx, "same", time.Minute), nil)
	}
}

func tablesAreApart(t *testing.T, e *env) {
	other := e.on(t, newName())
	migrate(t, other)
	nonce := e.issue(t, time.Minute)
	wantIs(t, other.Check(ctx, nonce, time.Minute), dpopnonce.ErrUnknown)
	wantIs(t, other.Consume(ctx, nonce, time.Minute), dpopnonce.ErrUnknown)
	wantIs(t, e.consume(nonce), nil)
}

func tableInSchema(t *testing.T, e *env) {
	r := e.on(t, e.schema(t, e)+"."+newName())
	migrate(t, r)
	migrate(t, r)
	wantUsable(t, r)
}
