// Package config runs the suite under combinations of gorm.Config.
package config

import (
	"fmt"
	"math/bits"
	"testing"
	"time"

	"github.com/attesto/dpopnonce/dialects/dialecttest"
	"github.com/attesto/dpopnonce/integration/dbtest"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// A setting is one choice of an application.
type setting struct {
	name   string
	config func(*gorm.Config)                  // before the database is opened
	opened func(testing.TB, *gorm.DB) *gorm.DB // after
}

var settings = []setting{
	{name: "PrepareStmt", config: func(c *gorm.Config) { c.PrepareStmt = true }},
	{name: "SkipDefaultTransaction", config: func(c *gorm.Config) { c.SkipDefaultTransaction = true }},
	{name: "TranslateError", config: func(c *gorm.Config) { c.TranslateError = true }},
	{name: "QueryFields", config: func(c *gorm.Config) { c.QueryFields = true }},
	{name: "CreateBatchSize", config: func(c *gorm.Config) { c.CreateBatchSize = 2 }},
	{name: "TablePrefix", config: naming(func(n *schema.NamingStrategy) { n.TablePrefix = "acme_" })},
	{name: "SingularTable", config: naming(func(n *schema.NamingStrategy) { n.SingularTable = true })},
	{name: "NoLowerCase", config: naming(func(n *schema.NamingStrategy) { n.NoLowerCase = true })},
	{name: "DisableNestedTransaction", config: func(c *gorm.Config) { c.DisableNestedTransaction = true }},
	{name: "NowFunc", config: func(c *gorm.Config) {
		c.NowFunc = func() time.Time { return time.Now().Add(shift).In(time.FixedZone("", -11*3600)) }
	}},
	{name: "SkipHooks", opened: func(_ testing.TB, db *gorm.DB) *gorm.DB { return db.Session(&gorm.Session{SkipHooks: true}) }},
	{name: "callbacks", opened: withCallbacks},
}

func naming(set func(*schema.NamingStrategy)) func(*gorm.Config) {
	return func(c *gorm.Config) {
		strategy, _ := c.NamingStrategy.(schema.NamingStrategy)
		set(&strategy)
		c.NamingStrategy = strategy
	}
}

// withCallbacks registers callbacks as multi-tenant and audited applications do:
// each query is limited to a tenant, and each write sets additional columns.
func withCallbacks(tb testing.TB, db *gorm.DB) *gorm.DB {
	narrow := func(tx *gorm.DB) {
		tx.Statement.AddClause(clause.Where{Exprs: []clause.Expression{clause.Eq{Column: "tenant_id", Value: 7}}})
	}
	stamp := func(tx *gorm.DB) {
		if tx.Statement.Schema != nil && tx.Statement.Schema.LookUpField("tenant_id") != nil {
			tx.Statement.SetColumn("tenant_id", 7)
		}
	}
	audit := func(tx *gorm.DB) { tx.Statement.SetColumn("updated_by", "audit") }
	for _, err := range []error{
		db.Callback().Create().Before("gorm:create").Register("app:tenant", stamp),
		db.Callback().Query().Before("gorm:query").Register("app:tenant", narrow),
		db.Callback().Update().Before("gorm:update").Register("app:tenant", narrow),
		db.Callback().Update().Before("gorm:update").Register("app:audit", audit),
		db.Callback().Delete().Before("gorm:delete").Register("app:tenant", narrow),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return db
}

// combinations returns sets of settings, as bits. For every two settings there
// are sets with both, with neither, and with only one of them. One set is empty.
// Each setting is in four of the other six sets, and no two are in the same four.
func combinations() []uint {
	sets := make([]uint, 7)
	column := 0
	for four := uint(0); four < 1<<6 && column < len(settings); four++ {
		if bits.OnesCount(four) != 4 {
			continue
		}
		for row := 0; row < 6; row++ {
			if four&(1<<row) != 0 {
				sets[row+1] |= 1 << column
			}
		}
		column++
	}
	return sets
}

func TestCombinationsArePairwise(t *testing.T) {
	for a := range settings {
		for b := range a {
			seen := map[[2]bool]bool{}
			for _, set := range combinations() {
				seen[[2]bool{set&(1<<a) != 0, set&(1<<b) != 0}] = true
			}
			if len(seen) != 4 {
				t.Errorf("%s and %s: %v", settings[a].name, settings[b].name, seen)
			}
		}
	}
}

// The databases share the sets, since settings meet each other in GORM. Any three
// of the six that are not empty have every setting in them. The empty one is that
// of the packages of the databases.
func TestConformance(t *testing.T) {
	sets := combinations()
	for name, d := range map[string]struct {
		dialector func(testing.TB) gorm.Dialector
		sets      []uint
	}{
		"sqlite": {func(tb testing.TB) gorm.Dialector {
			return sqlite.Open("file:" + dbtest.SQLite(tb) + "?_journal_mode=WAL&_busy_timeout=10000&_txlock=immediate")
		}, sets[1:4]},
		"postgres": {func(tb testing.TB) gorm.Dialector { return postgres.Open(dbtest.Postgres(tb)) }, sets[4:]},
		"mysql":    {func(tb testing.TB) gorm.Dialector { return mysql.Open(dbtest.MySQL(tb)) }, []uint{sets[1], sets[3], sets[5]}},
	} {
		for n, set := range d.sets {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				t.Parallel()
				for i, s := range settings {
					if set&(1<<i) != 0 {
						t.Log(s.name)
					}
				}
				dialecttest.Run(t, func(tb testing.TB) *gorm.DB { return open(tb, d.dialector(tb), set) })
			})
		}
	}
}

func open(tb testing.TB, dialector gorm.Dialector, set uint) *gorm.DB {
	config := &gorm.Config{NamingStrategy: schema.NamingStrategy{IdentifierMaxLength: 64}}
	for i, s := range settings {
		if set&(1<<i) != 0 && s.config != nil {
			s.config(config)
		}
	}
	db := dbtest.Open(tb, dialector, config)
	for i, s := range settings {
		if set&(1<<i) != 0 && s.opened != nil {
			db = s.opened(tb, db)
		}
	}
	return db
}
