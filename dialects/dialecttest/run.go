// Package dialecttest is the conformance suite for dialects and drivers: the
// guarantees of package dpopnonce as tests on a real database.
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

// Run runs the suite on the database that open opens. It calls open once to
// find out what the database can do, and once for each case.
//
// Each case creates its own tables, with names that no other run uses, and
// drops them when it ends. The database need not be empty, but the user needs
// the right to create tables, and on PostgreSQL schemas. The pool should allow
// 32 connections. A case removes the callbacks that it registers.
//
// Every repository of the suite gets opts first, then its own table and clock.
//
// A case that needs an ability which the database lacks is skipped. The suite
// knows the abilities of PostgreSQL, SQLite and MariaDB by the name of the
// gorm.Dialector, whatever the dialect; on any other database it runs the
// portable cases. The cases of group commit run if the dialect has shared
// statements. A dialect of your own may rotate in more than one statement.
func Run(t *testing.T, open func(testing.TB) *gorm.DB, opts ...dpopnonce.Option) {
	d := databaseOf(t, open(t), opts)
	for _, group := range groups {
		t.Run(group.name, func(t *testing.T) {
			for _, c := range group.cases {
				if d.can(c.needs) {
					t.Run(c.name, func(t *testing.T) { c.run(t, newEnv(t, d, open(t), opts)) })
				}
			}
		})
	}
}

// groups are all cases, by what they are about.
var groups = []struct {
	name  string
	cases []testCase
}{
	{"Issue", issueCases},
	{"Insert", insertCases},
	{"Consume", consumeCases},
	{"Freshness", freshnessCases},
	{"Instants", instantCases},
	{"Edges", edgeCases},
	{"BeyondEdges", beyondCases},
	{"Matching", matchingCases},
	{"Rotate", rotateCases},
	{"Check", checkCases},
	{"Spend", spendCases},
	{"Accept", acceptCases},
	{"AcceptRow", rowCases},
	{"AcceptHeld", holdCases},
	{"AcceptShare", heldShareCases},
	{"Sealed", sealedCases},
	{"SealedJudge", sealedJudgeCases},
	{"SealedFleet", sealedFleetCases},
	{"Concurrency", concurrencyCases},
	{"GroupCommit", groupCommitCases},
	{"Batch", batchCases},
	{"Transaction", transactionCases},
	{"Session", sessionCases},
	{"Secrets", secretCases},
	{"Sweep", sweepCases},
	{"SweepLag", sweepLagCases},
	{"Events", eventCases},
	{"EventOutcomes", eventOutcomeCases},
	{"EventShare", eventShareCases},
	{"Migrate", migrateCases},
}

// A testCase is one guarantee, stated by its name. It has a table of its own.
type testCase struct {
	name  string
	run   func(*testing.T, *env)
	needs abilities // none: the case runs on every database
}
