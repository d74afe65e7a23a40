package dialecttest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/attesto/dpopnonce"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// abilities are what a database, its session and its dialect can do. A case
// names those it needs.
type abilities uint

const (
	rowLocks           abilities = 1 << iota // a transaction locks single rows, and others can skip them
	freeSerializable                         // a read under SERIALIZABLE blocks no writer
	collations                               // a column can have a collation that ignores case
	storedFractions                          // the suite knows how an instant with a fraction is stored
	schemas                                  // a table can be in a schema
	insertNeedsIndex                         // Insert fails without the unique index
	bindsUTC                                 // the driver stores a time.Time as the instant that it is
	hooks                                    // the session runs the model's hooks
	savepoints                               // a nested transaction is a savepoint
	groupCommit                              // the dialect has shared statements
	oneStatementRotate                       // a Rotate is one statement, alone and shared, accepted and rejected
	lockThenUpdate                           // a shared transaction locks rows, and updates them last
	otherForms                               // the dialect reads instants that other programs write
	queryPlans                               // the suite reads the database's query plans
	explains                                 // the suite finds an index in a query plan
)

func (a abilities) can(needed abilities) bool { return a&needed == needed }

// A database holds what differs between databases. The zero value serves a
// database that the suite does not know.
type database struct {
	abilities
	dialect abilities // of the library's dialect for it, not of one that the options select

	dropIndex  string                        // format for the names of an index and its table; "" needs only the index
	ignoreCase []string                      // SQL that makes the nonce column of table %[1]s ignore case
	afterwards string                        // SQL that removes what is left of it
	schema     func(*testing.T, *env) string // returns a schema to put a table in
	fraction   string                        // time layout in which a UTC instant with a fraction is stored
	forms      []string                      // time layouts in which other programs store instants
	explain    string                        // SQL that makes a query plan of a statement
	avoidScans string                        // SQL that makes a transaction use indexes on small tables
	boundText  string                        // SQL that returns an instant as the driver bound it; "" if that is always UTC
	printing   map[string][]string           // SQL that makes errors of table %[1]s print the nonce, by what it does

	neverIssued, neverLive []string // issued_at and expires_at of rows that are never fresh
	unending               string   // an expires_at that is never past

	setLockTimeout, resetLockTimeout string // SQL that makes a transaction's waits for locks short
	lockTimeoutCode                  string // the driver's code for a wait that was too long
	serializationCode                string // the driver's code for a failure to serialize
}

var databases = map[string]database{
	"postgres": {
		abilities: rowLocks | collations | freeSerializable | storedFractions | schemas | insertNeedsIndex,
		ignoreCase: []string{
			"CREATE COLLATION %[1]s_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"ALTER TABLE %[1]s ALTER COLUMN nonce TYPE varchar(255) COLLATE %[1]s_ci",
		},
		afterwards:  "DROP COLLATION %[1]s_ci",
		dialect:     oneStatementRotate | otherForms | explains,
		schema:      newSchema,
		fraction:    "2006-01-02 15:04:05.00+00",
		forms:       []string{"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05.999999-07:00"},
		neverIssued: []string{"infinity", "-infinity", "0001-01-01 00:00:00+00 BC", "10000-01-01 00:00:00+00"},
		neverLive:   []string{"-infinity", "0001-01-01 00:00:00+00 BC"},
		unending:    "infinity",
		explain:     "EXPLAIN ",
		avoidScans:  "SET LOCAL enable_seqscan = off",
		printing: map[string][]string{
			"a CHECK that casts": {"ALTER TABLE %[1]s ADD CHECK (nonce::bigint > 0) NOT VALID"},
			"a column of uuid":   {"ALTER TABLE %[1]s ALTER nonce TYPE uuid USING id"},
		},
		setLockTimeout:    "SET LOCAL lock_timeout = '10ms'",
		lockTimeoutCode:   "55P03",
		serializationCode: "40001",
	},
	"sqlite": {
		abilities: collations | storedFractions | schemas | insertNeedsIndex,
		dialect:   otherForms | queryPlans | explains,
		ignoreCase: []string{
			"DROP TABLE %[1]s",
			`CREATE TABLE %[1]s (id TEXT PRIMARY KEY, nonce TEXT NOT NULL COLLATE NOCASE,
				issued_at datetime NOT NULL, expires_at datetime NOT NULL, used_at datetime)`,
		},
		schema:   func(*testing.T, *env) string { return "main" },
		fraction: "2006-01-02 15:04:05.00+00:00",
		forms: []string{
			"2006-01-02T15:04:05", "2006-01-02T15:04:05.999999", "2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05.999999Z07:00",
			"2006-01-02 15:04:05", "2006-01-02 15:04:05.999", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05.999999999-07:00",
			"2006-01-02 15:04", "2006-01-02T15:04Z07:00",
			"2006-01-02 15:04:05 -0700 MST", "2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02 15:04:05.999999999 -0700 -0700 m=+8",
		},
		neverIssued: unreadableText,
		neverLive:   unreadableText,
		unending:    "9999-12-31T23:59:59.999Z",
		explain:     "EXPLAIN QUERY PLAN ",
		printing: map[string][]string{
			"triggers": {
				"CREATE TRIGGER %[1]s_i BEFORE INSERT ON %[1]s BEGIN SELECT json_extract('{}', NEW.nonce); END",
				"CREATE TRIGGER %[1]s_u BEFORE UPDATE ON %[1]s BEGIN SELECT json_extract('{}', NEW.nonce); END",
			},
		},
	},
	"mysql": {
		abilities: rowLocks | collations | storedFractions | schemas | lockThenUpdate,
		dialect:   otherForms | explains,
		explain:   "EXPLAIN ",
		dropIndex: "DROP INDEX %s ON %s",
		ignoreCase: []string{
			"ALTER TABLE %[1]s MODIFY nonce varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL",
		},
		schema:      func(_ *testing.T, e *env) string { return e.db.Migrator().CurrentDatabase() },
		fraction:    "2006-01-02 15:04:05.00",
		forms:       []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05.999"},
		neverIssued: []string{"0000-00-00 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999"},
		neverLive:   []string{"0000-00-00 00:00:00", "0001-01-01 00:00:00"},
		unending:    "9999-12-31 23:59:59.999",
		boundText:   "SELECT CAST(? AS CHAR)", // with loc= in the DSN, the wall clock of that zone
		printing: map[string][]string{
			"triggers": {
				"CREATE TRIGGER %[1]s_i BEFORE INSERT ON %[1]s FOR EACH ROW " + signal,
				"CREATE TRIGGER %[1]s_u BEFORE UPDATE ON %[1]s FOR EACH ROW " + signal,
			},
			"a column of int": {"DELETE FROM %[1]s", "ALTER TABLE %[1]s MODIFY nonce int NOT NULL"},
		},
		setLockTimeout:    "SET SESSION innodb_lock_wait_timeout = 1",
		resetLockTimeout:  "SET SESSION innodb_lock_wait_timeout = DEFAULT",
		lockTimeoutCode:   "1205",
		serializationCode: "1020",
	},
}

// signal is the body of a trigger that fails with the nonce in its message.
const signal = "BEGIN SET @text = CONCAT('no ', NEW.nonce); SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = @text; END"

// unreadableText is what SQLite stores, and what names no instant in a form that
// the dialect reads.
var unreadableText = []string{
	"", "zzz", "now", "infinity", "23:00:00", "2461130", "1774787400", "29/03/2026 13:00:00", "Sun, 29 Mar 2026 13:00:00 GMT",
	"20260329T130000Z", "2026-03-29T13:00:00+0000", "2026-03-29T13:00:00+00", "2026-03-29t13:00:00z", "2026-03-29 13:00:00+15:00",
	"2026-03-29 13:00:000", "2026-03-29 13:00:00 UTC", "2026-03-29 13:00:00 0000 UTC", "2026-03-29 13:00:00 +00 UTC",
	"2026-03-29 13:00:60", "2026-03-29 25:00:00", "2026-13-29 13:00:00", "2026-03-29 13:00:00,5",
	"10000-01-01 00:00:00+00:00", "9999-12-31T23:59:59-01:00", "-0001-03-29 13:00:00",
}

// databaseOf finds out what the suite can ask of db.
func databaseOf(t *testing.T, db *gorm.DB, opts []dpopnonce.Option) database {
	t.Helper()
	d := databases[db.Dialector.Name()]
	add := func(can bool, a abilities) {
		if can {
			d.abilities |= a
		}
	}
	_, noGroupCommit := dpopnonce.NewRepository(db, append(opts[:len(opts):len(opts)], dpopnonce.WithGroupCommit())...)
	add(noGroupCommit == nil, groupCommit)
	add(!selectDialect(opts, db), d.dialect)
	add(d.boundText == "" || d.boundInUTC(t, db), bindsUTC)
	add(!db.Statement.SkipHooks, hooks)
	_, nests := db.Dialector.(gorm.SavePointerDialectorInterface)
	add(nests && !db.DisableNestedTransaction, savepoints)
	return d
}

// selectDialect reports whether opts select a dialect: if so, they work on a
// database that the library does not know.
func selectDialect(opts []dpopnonce.Option, db *gorm.DB) bool {
	db = db.Session(&gorm.Session{NewDB: true})
	db.Dialector = nameless{db.Dialector}
	_, err := dpopnonce.NewRepository(db, opts...)
	return err == nil
}

type nameless struct{ gorm.Dialector }

func (nameless) Name() string { return "" }

func (d database) boundInUTC(t *testing.T, db *gorm.DB) bool {
	t.Helper()
	var bound string
	if err := db.Raw(d.boundText, noon).Row().Scan(&bound); err != nil {
		t.Fatal(err)
	}
	return len(bound) >= 19 && bound[:19] == noon.Format("2006-01-02 15:04:05")
}

// newSchema creates a schema that the case drops.
func newSchema(t *testing.T, e *env) string {
	t.Helper()
	name := clause.Table{Name: "auth_" + newName()}
	wantIs(t, e.exec("CREATE SCHEMA ?", name), nil)
	t.Cleanup(func() {
		if err := e.exec("DROP SCHEMA ? CASCADE", name); err != nil {
			t.Error(err)
		}
	})
	return name.Name
}

// driverCode returns the code of the driver's own error in err: an SQLSTATE,
// or the number in the text of MySQL's.
func driverCode(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		if state, ok := err.(interface{ SQLState() string }); ok {
			return state.SQLState()
		}
		var number int
		if _, scan := fmt.Sscanf(err.Error(), "Error %d", &number); scan == nil {
			return fmt.Sprint(number)
		}
	}
	return ""
}
