package dialects

import (
	"database/sql"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// MySQL returns the dialect of MariaDB 10.6 and later. It is written to serve
// MySQL 8 as well, without group commit, and untested there; MySQL has no uuid
// type, so that its table comes from Migrate or Schema, not from AutoMigrate.
func MySQL() Dialect { return mysql{} }

type mysql struct{}

var _ Dialect = mysql{}

func (mysql) Name() string { return "mysql" }

// Instant binds text without an offset: go-sql-driver converts a time to the
// zone of its DSN, in whose clock-change hour instants lose their order.
func (mysql) Instant(t time.Time) any { return t.Format("2006-01-02 15:04:05") }

func (mysql) SQL() SQL {
	return SQL{
		Quote: "`",

		// Nonces have a byte-wise collation, and times the three decimals of
		// AutoMigrate, which would alter other ones. IF NOT EXISTS is for MariaDB
		// alone: MySQL reads a comment there.
		Schema: []string{`
			/*M! SET STATEMENT sql_mode = 'NO_ENGINE_SUBSTITUTION' FOR */
			CREATE TABLE IF NOT EXISTS {table} (
				id char(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
				nonce varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
				issued_at datetime(3) NOT NULL,
				expires_at datetime(3) NOT NULL,
				used_at datetime(3) NULL
			) ENGINE = InnoDB`,
			`CREATE UNIQUE INDEX /*M! IF NOT EXISTS */ {nonce_index} ON {table} (nonce)`,
			`CREATE INDEX /*M! IF NOT EXISTS */ {expires_at_index} ON {table} (expires_at)`,
		},

		// Plain: IGNORE swallows other faults, and ON DUPLICATE KEY UPDATE reports
		// a row that it did not write under clientFoundRows.
		Insert: `
			INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
			VALUES (@id, IF(` + committed + `, @nonce, NULL), @issued_at, @expires_at, @used_at)`,

		// The optimizer scans small tables, and a scan locks, or waits for, the
		// rows of other callers. Without the index, the hint is an error.
		Consume: `
			UPDATE {table} FORCE INDEX ({nonce_index}) SET used_at = @now
			WHERE ` + sameNonce + ` AND used_at IS NULL AND {fresh} AND ` + committed,

		Verdict: `
			SELECT CAST(used_at IS NOT NULL AS BINARY), CAST({fresh} AS BINARY), CAST(CONVERT(id USING utf8mb4) AS BINARY)
			FROM {table} FORCE INDEX ({nonce_index})
			WHERE ` + sameNonce + ` AND ` + committed + ` LIMIT 1`,

		// A derived table, because LIMIT may not stand in an IN; read first and
		// joined by id, because reading the table itself would wait for locked
		// rows.
		Sweep: `
			/*M! SET STATEMENT sql_safe_updates = 0 FOR */
			DELETE {table} FROM (
				SELECT id FROM {table} WHERE expires_at < @now AND ` + committed + `
				ORDER BY expires_at LIMIT @limit FOR UPDATE SKIP LOCKED
			) AS expired
			STRAIGHT_JOIN {table} FORCE INDEX (PRIMARY) ON {table}.id = expired.id`,

		SweepLag: `
			SELECT CEIL(TIMESTAMPDIFF(MICROSECOND, expires_at, @now) / 1000000)
			FROM {table} WHERE expires_at < @now AND ` + committed + `
			ORDER BY expires_at LIMIT 1`,

		// A table without its unique index refuses a second acceptance by this.
		NonceIDs: true,

		// A statement that is not prepared takes two trips.
		Prepare: true,

		// This level takes no gap locks.
		Isolation: sql.LevelReadCommitted,

		Unchanged: "triggers",

		// The nonces that are returned are compared byte for byte: a collation may
		// match others. What is binary no connection converts, and a LIMIT overrides
		// sql_select_limit.
		Shared: &Shared{
			Issue: insertNew,
			Accept: `
				SET STATEMENT innodb_lock_wait_timeout = 0 FOR` + insertNew + `
				RETURNING CAST(CONVERT(nonce USING utf8mb4) AS BINARY)`,
			Rows: func(rows [][]any) any { return asJSON(rows) },
			Verdicts: `
				SELECT CAST(CONVERT(nonce USING utf8mb4) AS BINARY), CAST(used_at IS NOT NULL AS BINARY), CAST({fresh} AS BINARY)
				FROM {table} FORCE INDEX ({nonce_index}) WHERE nonce IN @nonces
				LIMIT 1000000`,
			Steps: &Steps{
				Lock: `
					SELECT CAST(CONVERT(nonce USING utf8mb4) AS BINARY), CAST(CONVERT(id USING utf8mb4) AS BINARY)
					FROM {table} FORCE INDEX ({nonce_index})
					WHERE nonce IN @nonces AND used_at IS NULL AND {fresh}
					ORDER BY nonce LIMIT 1000000 FOR UPDATE SKIP LOCKED`,
				Consume: `
					UPDATE {table} FORCE INDEX (PRIMARY) SET used_at = @now
					WHERE id IN @locked AND used_at IS NULL AND {fresh}`,
			},
		},
	}
}

const (
	// insertNew takes the rows as JSON, so that its text is always the same and is
	// prepared.
	insertNew = `
		INSERT INTO {table} (id, nonce, issued_at, expires_at, used_at)
		SELECT id, IF(` + committed + `, nonce, NULL), issued_at, expires_at, used_at
		FROM JSON_TABLE(@rows, '$[*]' COLUMNS (
			id char(36) PATH '$[0]',
			nonce varchar(255) PATH '$[1]',
			issued_at datetime PATH '$[2]',
			expires_at datetime PATH '$[3]',
			used_at datetime PATH '$[4]'
		)) AS n`

	// sameNonce finds the row by its index, and then compares bytes: a collation
	// may ignore case, accents or trailing spaces, and the column and the
	// connection may have any character set.
	sameNonce = `nonce = @nonce
		AND CAST(CONVERT(nonce USING utf8mb4) AS BINARY) = CAST(CONVERT(@nonce USING utf8mb4) AS BINARY)`

	// committed is true where the statement is committed by itself, or by the
	// transaction that it is known to be in. Elsewhere it is an error, 1690: under
	// autocommit = 0, and after a COMMIT under completion_type = CHAIN, a
	// connection is in a transaction that nothing commits.
	committed = `EXP(IF(@inside OR @@autocommit /*M! AND NOT @@in_transaction */, 0, 710))`
)

func (mysql) Fault(err error) (Fault, string) {
	number, text := mysqlError(err)
	switch number {
	case 1020: // ER_CHECKREAD: the row changed since the snapshot
		return Serialization, ""
	case 1213, 1205: // ER_LOCK_DEADLOCK, ER_LOCK_WAIT_TIMEOUT
		return Locked, ""
	case 1690, 1568: // ER_DATA_OUT_OF_RANGE: see committed; ER_CANT_CHANGE_TX_CHARACTERISTICS
		return NeedsTransaction, ""
	case 1180: // ER_ERROR_DURING_COMMIT, of a SKIP LOCKED that waits for no lock at all
		return Locked, "set innodb_lock_wait_timeout to 1 or more"
	case 1665: // ER_BINLOG_STMT_MODE_AND_ROW_ENGINE
		return NeedsTransaction, "the binary log refuses READ COMMITTED: set binlog_format to MIXED or ROW"
	case 1062: // ER_DUP_ENTRY
		switch key := lastQuoted(text); {
		case text == "": // as under character_set_results = ucs2
			return DuplicateNonce, ""
		case key == "PRIMARY", strings.HasSuffix(key, ".PRIMARY"):
			return DuplicateKey, ""
		case nonceKey.MatchString(key):
			return DuplicateNonce, ""
		}
	case 1176: // ER_KEY_DOES_NOT_EXITS
		return NoUniqueIndex, ""
	case 1461, 1243, 1615: // ER_MAX_PREPARED_STMT_COUNT_REACHED, ER_UNKNOWN_STMT_HANDLER, ER_NEED_REPREPARE
		return Unprepared, ""
	case 4037, 4038, 4041, 4042: // ER_JSON_EOS, ER_JSON_SYNTAX, and of a path: for example utf16 as character_set_connection
		return Unshared, ""
	case 1050, 1061: // ER_TABLE_EXISTS_ERROR, ER_DUP_KEYNAME
		return Exists, ""
	}
	return Other, ""
}

// nonceKey matches the name of a unique index on nonce: {nonce_index}, which FORCE
// INDEX requires, and what other tools call one, or MariaDB itself. A duplicate in
// any other index says nothing of the nonce, and is no replay. The table's own
// name, dpop_nonces, begins the names of its other indexes as well.
var nonceKey = regexp.MustCompile(`(?i)nonce(_index|_key|_unique)?$`)

// lastQuoted returns what text has between its last two quotation marks: the
// key, in every language of the server's messages.
func lastQuoted(text string) string {
	end := strings.LastIndexByte(text, '\'')
	if end < 0 {
		return ""
	}
	return text[strings.LastIndexByte(text[:end], '\'')+1 : end]
}

// mysqlError returns the number and message of the first *mysql.MySQLError in
// err's tree. Its type has no method for the number, but both fields.
func mysqlError(err error) (number uint64, message string) {
	for _, err := range chain(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if number, message := field(v, "Number"), field(v, "Message"); number.CanUint() && message.Kind() == reflect.String {
			return number.Uint(), message.String()
		}
	}
	return 0, ""
}

// field returns a field of a struct, or the zero Value: also where it is that of
// an embedded pointer that is nil, on which FieldByName panics.
func field(v reflect.Value, name string) (f reflect.Value) {
	if v.Kind() == reflect.Struct {
		if field, ok := v.Type().FieldByName(name); ok {
			f, _ = v.FieldByIndexErr(field.Index)
		}
	}
	return f
}
