// Package dialecttest is the conformance suite of dialects and drivers: what
// dpopnonce promises, as tests on a real database.
//
//	func TestConformance(t *testing.T) {
//		dialecttest.Run(t, func(tb testing.TB) *gorm.DB {
//			db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{})
//			...
//			tb.Cleanup(func() { ... close it ... })
//			return db
//		}, dpopnonce.WithDialect(myDialect{}))
//	}
package dialecttest

import (
	"testing"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
)

// Run runs the suite. It calls open for every case, and each creates tables of
// its own, with names that no other run has, and drops them again: an empty
// database is not needed, the right to create tables is (on PostgreSQL,
// schemas too). The pool should allow 32 connections; callbacks that a case
// registers are removed with it.
//
// The options go to every repository of the suite, before its own table and
// clock. A case that does not apply to the database is not run.
func Run(t *testing.T, open func(testing.TB) *gorm.DB, opts ...dpopnonce.Option) {
	has := featuresOf(t, open(t), opts)
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Issue", issueCases},
		{"Insert", insertCases},
		{"Consume", consumeCases},
		{"Rotate", rotateCases},
		{"Check", checkCases},
		{"Concurrency", concurrencyCases},
		{"GroupCommit", groupCases},
		{"Transaction", transactionCases},
		{"Session", sessionCases},
		{"Sweep", sweepCases},
		{"Migrate", migrateCases},
	} {
		group := group
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				c := c
				if c.needs != nil && !c.needs(has) {
					continue
				}
				t.Run(c.name, func(t *testing.T) { c.run(t, newEnv(t, has, open(t), opts)) })
			}
		})
	}
}

// A testCase is one guarantee, stated in its name, on a table of its own.
type testCase struct {
	name  string
	run   func(*testing.T, *env)
	needs func(features) bool // nil: every database
}

// features are what a database is able to show.
type features struct {
	database   string // the dialector's name
	rowLocks   bool   // rows are locked one by one, and SKIP LOCKED passes over them
	conflictUp bool   // Insert needs the unique index to tell a duplicate
	bindsUTC   bool   // the driver stores a time.Time as the instant it is
	hooks      bool   // the session runs the model's hooks
	savepoints bool   // a nested transaction is a savepoint

	groupCommit bool // the dialect has shared statements
}

func featuresOf(t *testing.T, db *gorm.DB, opts []dpopnonce.Option) features {
	name := db.Dialector.Name()
	_, noGroupCommit := dpopnonce.NewRepository(db, append(opts[:len(opts):len(opts)], dpopnonce.WithGroupCommit())...)
	return features{
		database:   name,
		rowLocks:   name == "postgres" || name == "mysql",
		conflictUp: name == "postgres" || name == "sqlite",
		bindsUTC:   name != "mysql" || bindsUTC(t, db),
		hooks:      !db.Statement.SkipHooks,
		savepoints: !db.DisableNestedTransaction,

		groupCommit: noGroupCommit == nil,
	}
}

func rowLocks(f features) bool { return f.rowLocks }
func onMySQL(f features) bool  { return f.database == "mysql" }
func known(f features) bool    { return f.database == "sqlite" || f.rowLocks }

// bindsUTC reports whether a time reaches MySQL as it is: under loc= in the
// DSN, go-sql-driver binds the wall clock of that zone.
func bindsUTC(t *testing.T, db *gorm.DB) bool {
	var bound string
	if err := db.Raw("SELECT CAST(? AS CHAR)", noon).Row().Scan(&bound); err != nil {
		t.Fatal(err)
	}
	return len(bound) >= 19 && bound[:19] == noon.Format("2006-01-02 15:04:05")
}
