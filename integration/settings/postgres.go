package main

import (
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

func postgresql(dsn string) server {
	return server{dsn: dsn, open: openPostgres, modes: []string{"prepared", "simple"}}
}

// openPostgres opens a pool whose sessions have parameters set.
func openPostgres(dsn string, params map[string]string, mode string) (*gorm.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	simple := mode == "simple"
	if simple {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	for name, value := range params {
		config.RuntimeParams[name] = value
	}
	pool := stdlib.OpenDB(*config)
	return opened(pool, postgres.New(postgres.Config{Conn: pool, PreferSimpleProtocol: simple}))
}

// postgresParameters returns what to try of every parameter that a session can
// set.
func postgresParameters(dsn string) (all []setting, err error) {
	s := postgresql(dsn)
	plain, err := s.open(dsn, nil, "prepared")
	if err != nil {
		return nil, err
	}
	defer closePool(plain)
	rows, err := plain.Raw(`SELECT name, vartype, COALESCE(array_to_string(enumvals, ','), ''), COALESCE(min_val, ''), COALESCE(max_val, '')
		FROM pg_settings WHERE context IN ('user', 'superuser', 'backend', 'superuser-backend') ORDER BY 1`).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, kind, list, least, most string
		if err := rows.Scan(&name, &kind, &list, &least, &most); err != nil {
			return nil, err
		}
		values := postgresTexts[name]
		switch {
		case values != nil:
		case kind == "bool":
			values = []string{"on", "off"}
		case kind == "enum":
			values = strings.Split(list, ",")
		case kind == "string":
			values = []string{"a"}
		default:
			values = []string{least, most, "0", "1", "1000"}
		}
		all = append(all, s.each(name, values, kind == "string" || kind == "enum")...)
	}
	for _, params := range postgresTogether {
		all = append(all, s.variables(params)...)
	}
	return all, rows.Err()
}

// postgresTexts are the values of parameters whose list the server does not know,
// and of those that take too long otherwise.
var postgresTexts = map[string][]string{
	"client_encoding":                  {"UTF8", "SQL_ASCII", "LATIN1", "WIN1252", "KOI8R", "EUC_JP", "SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "GB18030", "UHC", "JOHAB", "MULE_INTERNAL"},
	"DateStyle":                        {"ISO, MDY", "ISO, DMY", "SQL, DMY", "SQL, MDY", "German", "Postgres, YMD", "Postgres, MDY"},
	"TimeZone":                         {"UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Monrovia", "<-23>+23", "+13", "posixrules"},
	"backtrace_functions":              {"ExecInsert"},
	"default_table_access_method":      {"heap"},
	"default_tablespace":               {"pg_default", "pg_global"},
	"default_text_search_config":       {"pg_catalog.simple"},
	"lc_messages":                      {"C", "POSIX", "C.UTF-8", "de_DE.UTF-8", "ja_JP.UTF-8"},
	"lc_monetary":                      {"C", "de_DE.UTF-8"},
	"lc_numeric":                       {"C", "de_DE.UTF-8"},
	"lc_time":                          {"C", "de_DE.UTF-8"},
	"post_auth_delay":                  {"0"},
	"restrict_nonsystem_relation_kind": {"view", "foreign-table"},
	"search_path":                      {"public", "pg_catalog, public", "public, pg_catalog", `"$user", public`},
	"session_preload_libraries":        {"auto_explain"},
	"timezone_abbreviations":           {"Default", "Australia", "India"},
	"wal_consistency_checking":         {"all"},
}

// postgresTogether are parameters that change more together.
var postgresTogether = []string{
	"default_transaction_isolation=serializable&default_transaction_read_only=on&default_transaction_deferrable=on",
	"default_transaction_isolation=serializable&enable_indexscan=off&enable_bitmapscan=off&enable_indexonlyscan=off",
	"default_transaction_isolation=serializable&lock_timeout=1",
	"default_transaction_isolation=repeatable read&enable_indexscan=off&enable_bitmapscan=off",
	"enable_indexscan=off&enable_bitmapscan=off&enable_indexonlyscan=off",
	"enable_indexscan=off&enable_bitmapscan=off&enable_seqscan=off&jit=off", // the costs would start the compiler for each statement
	"enable_seqscan=off&enable_sort=off&enable_hashagg=off&enable_material=off&enable_nestloop=off",
	"enable_nestloop=off&enable_hashjoin=off&enable_mergejoin=off",
	"enable_tidscan=off&enable_nestloop=off",
	"force_parallel_mode=on&parallel_setup_cost=0&parallel_tuple_cost=0&min_parallel_table_scan_size=0",
	"force_parallel_mode=regress&parallel_setup_cost=0&parallel_tuple_cost=0&min_parallel_table_scan_size=0&enable_indexscan=off&enable_bitmapscan=off",
	"plan_cache_mode=force_generic_plan&enable_seqscan=off",
	"plan_cache_mode=force_generic_plan&enable_indexscan=off&enable_bitmapscan=off",
	"jit=on&jit_above_cost=0&jit_inline_above_cost=0&jit_optimize_above_cost=0",
	"geqo=on&geqo_threshold=2&from_collapse_limit=1&join_collapse_limit=1",
	"lock_timeout=1&deadlock_timeout=1",
	"statement_timeout=1000&idle_in_transaction_session_timeout=1000",
	"DateStyle=German&IntervalStyle=sql_standard&TimeZone=Asia/Kathmandu",
	"client_encoding=LATIN1&standard_conforming_strings=off&backslash_quote=off",
	"transform_null_equals=on&array_nulls=off&quote_all_identifiers=on",
	"synchronous_commit=off&commit_delay=1000&commit_siblings=0",
	"session_replication_role=replica&row_security=off",
}
