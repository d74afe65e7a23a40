package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// sqlitePragmas returns what to try of every pragma that can matter, each in a
// file of its own. glebarez takes any pragma in its DSN.
func sqlitePragmas(dir string) (all []setting) {
	for i, params := range []string{
		"journal_mode=DELETE", "journal_mode=TRUNCATE", "journal_mode=PERSIST", "journal_mode=MEMORY", "journal_mode=OFF",
		"_txlock=deferred", "_txlock=exclusive", "_txlock=deferred&busy_timeout=0", "busy_timeout=0",
		"synchronous=OFF", "synchronous=NORMAL", "synchronous=EXTRA", "locking_mode=EXCLUSIVE&busy_timeout=0", "query_only=1", "encoding='UTF-16le'", "encoding='UTF-16be'",
		"count_changes=1", "full_column_names=1", "short_column_names=0", "empty_result_callbacks=1", "case_sensitive_like=1", "reverse_unordered_selects=1",
		"read_uncommitted=1", "recursive_triggers=1", "foreign_keys=1", "ignore_check_constraints=1", "automatic_index=0", "auto_vacuum=FULL", "auto_vacuum=INCREMENTAL",
		"cache_size=1", "cache_spill=0", "cell_size_check=1", "defer_foreign_keys=1", "legacy_alter_table=1", "page_size=512", "page_size=65536", "secure_delete=1",
		"temp_store=MEMORY", "trusted_schema=0", "mmap_size=1048576", "wal_autocheckpoint=1", "threads=4", "writable_schema=1", "analysis_limit=1", "max_page_count=10",
	} {
		s := server{dsn: filepath.Join(dir, fmt.Sprint(i, ".db")), open: openSQLite, modes: []string{"glebarez"}}
		for _, one := range s.variables(params) {
			if strings.HasPrefix(params, "journal_mode") { // a file has one
				one.other = one.open
			}
			all = append(all, one)
		}
	}
	return all
}

// openSQLite opens a pool whose connections have pragmas set, on top of those
// that docs/databases.md names.
func openSQLite(file string, params map[string]string, _ string) (*gorm.DB, error) {
	set := map[string]string{"journal_mode": "WAL", "busy_timeout": "10000", "_txlock": "immediate"}
	maps.Copy(set, params)
	dsn := "file:" + file + "?_txlock=" + set["_txlock"]
	delete(set, "_txlock")
	// The encoding and the size of pages are a new file's, before anything writes.
	for _, name := range slices.Sorted(maps.Keys(set)) {
		dsn += "&_pragma=" + name + "(" + set[name] + ")"
	}
	db, err := gorm.Open(sqlite.Open(strings.ReplaceAll(dsn, "'", "%27")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, refused{err}
	}
	pool, err := db.DB()
	if err == nil {
		pool.SetMaxOpenConns(12)
		pool.SetMaxIdleConns(12)
	}
	return db, err
}
