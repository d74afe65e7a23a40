package main

var charsets = []string{"'latin1'", "'latin2'", "'ascii'", "'binary'", "'utf8mb3'", "'utf8mb4'", "'cp1251'", "'koi8r'", "'greek'", "'hp8'", "'dec8'",
	"'macce'", "'swe7'", "'sjis'", "'cp932'", "'ujis'", "'gbk'", "'big5'", "'ucs2'", "'utf16'", "'utf16le'", "'utf32'"}

var collations = []string{"'utf8mb4_bin'", "'utf8mb4_general_ci'", "'utf8mb4_unicode_ci'", "'utf8mb4_turkish_ci'", "'utf8mb4_nopad_bin'", "'latin1_bin'",
	"'latin1_general_cs'", "'latin1_swedish_ci'", "'binary'", "'ascii_bin'", "'swe7_swedish_ci'", "'gbk_chinese_ci'", "'sjis_japanese_ci'",
	"'ucs2_general_ci'", "'utf16_general_ci'", "'utf16le_bin'", "'utf32_general_ci'"}

var engines = []string{"'InnoDB'", "'Aria'", "'MyISAM'", "'MEMORY'", "'CSV'", "'MRG_MyISAM'", "'SEQUENCE'"}

// mariadbTexts are the values of variables whose list the server does not know.
var mariadbTexts = map[string][]string{
	"character_set_client":           charsets,
	"character_set_connection":       charsets,
	"character_set_database":         charsets,
	"character_set_filesystem":       charsets,
	"character_set_results":          append([]string{"NULL"}, charsets...),
	"character_set_server":           charsets,
	"collation_connection":           collations,
	"collation_database":             collations,
	"collation_server":               collations,
	"default_regex_flags":            {"''", "'DOTALL'"},
	"default_storage_engine":         engines,
	"default_tmp_storage_engine":     engines,
	"enforce_storage_engine":         engines,
	"storage_engine":                 engines,
	"lc_messages":                    {"'en_US'", "'de_DE'", "'ja_JP'", "'ru_RU'", "'fr_FR'", "'cs_CZ'", "'zh_CN'", "'ko_KR'"},
	"lc_time_names":                  {"'en_US'", "'de_DE'", "'ja_JP'", "'ar_SA'"},
	"optimizer_trace":                {"'enabled=on'"},
	"session_track_system_variables": {"''", "'*'", "'autocommit'"},
	"system_versioning_asof":         {"'2020-01-01'", "'2038-01-01'"},
	"time_zone":                      {"'SYSTEM'", "'+00:00'", "'-11:00'", "'+13:00'", "'+05:45'"},
}

// mariadbTogether are variables that change more together.
var mariadbTogether = []string{
	"autocommit=0&completion_type='CHAIN'",
	"autocommit=0&completion_type='RELEASE'",
	"autocommit=0&tx_isolation='SERIALIZABLE'",
	"autocommit=0&tx_isolation='READ-COMMITTED'",
	"autocommit=0&tx_isolation='READ-UNCOMMITTED'",
	"autocommit=0&sql_select_limit=1",
	"autocommit=0&innodb_snapshot_isolation=1",
	"autocommit=0&sql_mode=''",
	"autocommit=0&tx_read_only=1",
	"autocommit=0&default_storage_engine='Aria'",
	"completion_type='CHAIN'&tx_isolation='SERIALIZABLE'",
	"enforce_storage_engine='Aria'&sql_mode=''",
	"unique_checks=0&foreign_key_checks=0",
	"unique_checks=0&foreign_key_checks=0&autocommit=0",
	"sql_mode='ANSI,ORACLE,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,ONLY_FULL_GROUP_BY'",
	"sql_mode='TRADITIONAL,ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
	"in_predicate_conversion_threshold=2&optimizer_switch='materialization=off,semijoin=off'",
	"in_predicate_conversion_threshold=2&optimizer_switch='materialization=on,in_to_exists=off'",
	"in_predicate_conversion_threshold=2&sql_safe_updates=1",
	"in_predicate_conversion_threshold=2&collation_connection='utf16_bin'",
	"sql_safe_updates=1&sql_select_limit=1",
	"innodb_snapshot_isolation=1&tx_isolation='SERIALIZABLE'",
	"innodb_lock_wait_timeout=0&innodb_snapshot_isolation=1",
	"character_set_client='latin1'&character_set_connection='ucs2'&character_set_results='utf16'",
	"character_set_connection='utf16'&collation_connection='utf16_bin'",
	"lc_messages='de_DE'&character_set_results='latin1'",
	"lc_messages='ja_JP'&character_set_results='sjis'",
	"lc_messages='ja_JP'&character_set_results='ucs2'",
	"use_stat_tables='PREFERABLY'&histogram_type='JSON_HB'",
	"optimizer_use_condition_selectivity=1&eq_range_index_dive_limit=1",
}

// mariadbServers are arguments of servers, and the sessions to try there.
var mariadbServers = []struct {
	args     []string
	sessions []string
}{
	{[]string{"--autocommit=0"}, []string{"", "tx_isolation='SERIALIZABLE'"}},
	{[]string{"--autocommit=0", "--completion-type=CHAIN"}, []string{"", "autocommit=1"}},
	{[]string{"--init-connect=SET autocommit=0"}, []string{""}},
	{[]string{"--log-bin=bin", "--binlog-format=STATEMENT"}, []string{"", "tx_isolation='READ-COMMITTED'", "tx_isolation='READ-UNCOMMITTED'",
		"tx_isolation='SERIALIZABLE'", "autocommit=0", "autocommit=0&tx_isolation='READ-COMMITTED'", "autocommit=0&completion_type='CHAIN'",
		"binlog_format='MIXED'", "innodb_snapshot_isolation=1", "sql_safe_updates=1",
		"character_set_connection='utf16'", "time_zone='-11:00'", "sql_mode='ORACLE'"}},
	{[]string{"--log-bin=bin", "--binlog-format=STATEMENT", "--transaction-isolation=READ-COMMITTED"}, []string{"", "autocommit=0"}},
	{[]string{"--log-bin=bin", "--binlog-format=MIXED"}, []string{"", "tx_isolation='READ-COMMITTED'", "tx_isolation='SERIALIZABLE'", "autocommit=0"}},
	{[]string{"--log-bin=bin", "--binlog-format=ROW", "--binlog-row-image=MINIMAL"}, []string{"", "tx_isolation='READ-COMMITTED'", "autocommit=0", "binlog_format='STATEMENT'"}},
	{[]string{"--log-bin=bin", "--binlog-format=STATEMENT", "--gtid-strict-mode=1", "--sync-binlog=1", "--innodb-autoinc-lock-mode=0"}, []string{""}},
	{[]string{"--character-set-server=ucs2"}, []string{""}},
	{[]string{"--character-set-server=utf32", "--collation-server=utf32_bin"}, []string{""}},
	{[]string{"--character-set-server=swe7"}, []string{""}},
	{[]string{"--character-set-server=binary"}, []string{""}},
	{[]string{"--character-set-server=utf16", "--skip-character-set-client-handshake"}, []string{""}},
	{[]string{"--character-set-server=latin1", "--skip-character-set-client-handshake"}, []string{""}},
	{[]string{"--default-storage-engine=MyISAM", "--sql-mode="}, []string{""}},
	{[]string{"--enforce-storage-engine=Aria"}, []string{""}},
	{[]string{"--enforce-storage-engine=Aria", "--sql-mode="}, []string{""}},
	{[]string{"--skip-innodb", "--default-storage-engine=Aria", "--sql-mode="}, []string{""}},
	{[]string{"--query-cache-type=ON", "--query-cache-size=1M"}, []string{"", "query_cache_type=2", "query_cache_strip_comments=1", "query_cache_wlock_invalidate=1"}},
	{[]string{"--innodb-deadlock-detect=OFF", "--innodb-lock-wait-timeout=1"}, []string{""}},
	{[]string{"--innodb-rollback-on-timeout=ON", "--innodb-lock-wait-timeout=1"}, []string{""}},
	{[]string{"--innodb-default-row-format=redundant"}, []string{""}},
	{[]string{"--innodb-force-primary-key=ON"}, []string{""}},
	{[]string{"--innodb-flush-log-at-trx-commit=0"}, []string{""}},
	{[]string{"--read-only=1"}, []string{""}},
	{[]string{"--transaction-read-only"}, []string{""}},
	{[]string{"--thread-handling=pool-of-threads"}, []string{""}},
	{[]string{"--lower-case-table-names=1"}, []string{""}},
	{[]string{"--max-prepared-stmt-count=0"}, []string{""}},
	{[]string{"--default-time-zone=-11:00"}, []string{""}},
}
