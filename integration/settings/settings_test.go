package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/attesto/dpopnonce/integration/dbtest"
)

// A settingCase is one value of a kind of setting. Every outcome is right there,
// or calls fail with an error that has the text.
type settingCase struct {
	setting, want string
	text          bool // which the modes of the driver may take for another
}

func TestMariaDBSessions(t *testing.T) {
	s := mariadb(dbtest.MySQL(t))
	for i, c := range []settingCase{
		{setting: "autocommit=0"},
		{setting: "completion_type='CHAIN'"},
		{setting: "autocommit=0&completion_type='CHAIN'&tx_isolation='READ-COMMITTED'"},
		{setting: "tx_isolation='SERIALIZABLE'"},
		{setting: "innodb_snapshot_isolation=1"},
		{setting: "tx_read_only=1", want: "Error 1792"},
		{setting: "sql_select_limit=1"},
		{setting: "sql_safe_updates=1"},
		{setting: "max_join_size=1", want: "Error 1104"},
		{setting: "sql_mode=''", text: true},
		{setting: "sql_mode='ORACLE'", text: true},
		{setting: "sql_mode='TRADITIONAL,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'", text: true},
		{setting: "character_set_client='sjis'", text: true},
		{setting: "character_set_connection='utf16'", text: true},
		{setting: "character_set_results='ucs2'", text: true},
		{setting: "lc_messages='ja_JP'&character_set_results='sjis'", text: true},
		{setting: "default_storage_engine='Aria'"},
		{setting: "enforce_storage_engine='Aria'&sql_mode=''", want: "Error 1290"},
		{setting: "time_zone='-11:00'&timestamp=1"},
		{setting: "unique_checks=0&foreign_key_checks=0"},
		{setting: "in_predicate_conversion_threshold=2"},
		{setting: "optimizer_switch='index_condition_pushdown=off,materialization=off,semijoin=off,derived_merge=off'"},
	} {
		checkAll(t, inTurn(i, s.variables(c.setting), c.text), c.want)
	}
}

func TestMariaDBTables(t *testing.T) {
	s := mariadb(dbtest.MySQL(t))
	for i, column := range []string{
		"nonce varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci",
		"nonce varchar(255) CHARACTER SET utf16 COLLATE utf16_general_ci",
		"id uuid",
		"id char(36) CHARACTER SET ucs2",
		"expires_at timestamp",
	} {
		checkAll(t, inTurn(i, s.shape(column, "ALTER TABLE {table} MODIFY "+column+" NOT NULL"), false), "")
	}
}

func TestMariaDBWithABinaryLogOfStatements(t *testing.T) {
	dbtest.MySQL(t) // skips where there is no MariaDB
	args := []string{"--log-bin=bin", "--binlog-format=STATEMENT"}
	dsn, stop, err := startMariaDB(args...)
	if errors.Is(err, errAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	for i, c := range []settingCase{
		{setting: ""},
		{setting: "autocommit=0"},
		{setting: "tx_isolation='READ-COMMITTED'", want: "set binlog_format to MIXED or ROW"},
	} {
		checkAll(t, inTurn(i, sessions(dsn, args, c.setting), false), c.want)
	}
}

func TestPostgreSQLSessions(t *testing.T) {
	s := postgresql(dbtest.Postgres(t))
	for i, c := range []settingCase{
		{setting: "default_transaction_isolation=serializable"},
		{setting: "default_transaction_isolation=repeatable read&lock_timeout=1"},
		{setting: "default_transaction_read_only=on", want: "the session is read-only"},
		{setting: "DateStyle=German&IntervalStyle=sql_standard&TimeZone=Asia/Kathmandu"},
		{setting: "transform_null_equals=on&array_nulls=off&quote_all_identifiers=on"},
		{setting: "enable_indexscan=off&enable_bitmapscan=off&enable_indexonlyscan=off"},
		{setting: "plan_cache_mode=force_generic_plan&enable_seqscan=off"},
		{setting: "force_parallel_mode=on&parallel_setup_cost=0&parallel_tuple_cost=0&min_parallel_table_scan_size=0"},
		{setting: "synchronous_commit=off"},
		{setting: "session_replication_role=replica&row_security=off"},
	} {
		checkAll(t, inTurn(i, s.variables(c.setting), c.text), c.want)
	}
	latin := s.variables("client_encoding=LATIN1")
	checkAll(t, latin[:1], "")
	checkAll(t, latin[1:], "client_encoding=UTF8")
}

func TestPostgreSQLTables(t *testing.T) {
	s := postgresql(dbtest.Postgres(t))
	create := "CREATE EXTENSION IF NOT EXISTS citext; CREATE COLLATION IF NOT EXISTS settings_ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
	plain, err := s.open(s.dsn, nil, "simple")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(plain) })
	if err := plain.Exec(create).Error; err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ column, kind string }{
		{"nonce", "citext"},
		{"nonce", "char(255) COLLATE settings_ci"},
		{"id", "text"},
		{"expires_at", "timestamp(0)"},
	} {
		checkAll(t, inTurn(i, s.shape(c.column+" "+c.kind, "ALTER TABLE {table} ALTER "+c.column+" TYPE "+c.kind), false), "")
	}
}

// inTurn returns settings of one mode, or of all.
func inTurn(i int, modes []setting, all bool) []setting {
	if all {
		return modes
	}
	return modes[i%len(modes):][:1]
}

var tables atomic.Int64

// checkAll tries settings and compares what was found.
func checkAll(t *testing.T, all []setting, want string) {
	for _, s := range all {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			out, err := s.try(t.Context(), fmt.Sprintf("settings_%d_%d", os.Getpid(), tables.Add(1)))
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range out.wrong {
				t.Error("wrong: ", text)
			}
			for _, text := range out.failed {
				if want == "" || !strings.Contains(text, want) {
					t.Error("failed: ", text)
				}
			}
			if want != "" && len(out.failed) == 0 {
				t.Errorf("nothing failed; want an error with %q", want)
			}
		})
	}
}
