package main

import (
	"fmt"
	"strings"
)

// mariadbShapes are tables and databases that are not as Migrate makes them.
func mariadbShapes(dsn string) (all []setting, err error) {
	s := mariadb(dsn)
	plain, err := s.open(dsn, nil, "prepared")
	if err != nil {
		return nil, err
	}
	defer closePool(plain)
	column := func(types []string, names ...string) {
		for _, kind := range types {
			var ddl []string
			for _, name := range names {
				null := "NOT NULL"
				if name == "used_at" {
					null = "NULL"
				}
				ddl = append(ddl, fmt.Sprintf("ALTER TABLE {table} MODIFY %s %s %s", name, kind, null))
			}
			all = append(all, s.shape("column "+strings.Join(names, ", ")+" "+kind, ddl...)...)
		}
	}
	var nonces []string
	for _, collation := range []string{"latin1_swedish_ci", "latin1_bin", "utf8mb3_general_ci", "utf8mb4_unicode_ci", "utf8mb4_turkish_ci", "utf8mb4_nopad_bin",
		"ucs2_general_ci", "ucs2_bin", "utf16_general_ci", "utf16le_bin", "utf32_bin", "utf32_unicode_ci", "swe7_swedish_ci", "sjis_japanese_ci", "gbk_chinese_ci",
		"big5_chinese_ci", "koi8r_general_ci", "cp932_japanese_ci", "hp8_english_ci", "dec8_swedish_ci", "tis620_thai_ci"} {
		charset, _, _ := strings.Cut(collation, "_")
		nonces = append(nonces, "varchar(255) CHARACTER SET "+charset+" COLLATE "+collation)
	}
	column(append(nonces, "varbinary(255)", "binary(255)", "char(255) CHARACTER SET ascii COLLATE ascii_bin", "char(255) CHARACTER SET utf8mb4",
		"varchar(40) CHARACTER SET ascii COLLATE ascii_bin"), "nonce")
	column([]string{"uuid", "char(36) CHARACTER SET utf8mb4", "char(36) CHARACTER SET ucs2", "char(36) CHARACTER SET utf16 COLLATE utf16_bin",
		"varchar(36) CHARACTER SET latin1", "varbinary(36)", "binary(16)", "bigint"}, "id")
	column([]string{"datetime", "datetime(6)", "timestamp", "timestamp(3)", "varchar(30)", "varchar(30) CHARACTER SET utf16", "date"}, "issued_at", "expires_at", "used_at")
	for _, change := range []string{"ENGINE=Aria", "ENGINE=MyISAM", "ENGINE=MEMORY", "ROW_FORMAT=COMPRESSED", "ADD SYSTEM VERSIONING",
		"ADD tenant int NOT NULL", "ADD tenant int NOT NULL DEFAULT 1"} {
		all = append(all, s.shape("table "+change, "ALTER TABLE {table} "+change)...)
	}
	for _, charset := range []string{"ucs2", "utf16", "utf32", "latin1", "swe7", "binary"} {
		name := "settings_" + charset
		if err := plain.Exec("CREATE DATABASE IF NOT EXISTS " + name + " CHARACTER SET " + charset).Error; err != nil {
			return nil, err
		}
		all = append(all, mariadb(inDatabase(dsn, name)).shape("database CHARACTER SET "+charset)...)
	}
	return all, nil
}

// postgresShapes are tables, roles and databases that are not as usual.
func postgresShapes(dsn string) (all []setting, err error) {
	s := postgresql(dsn)
	plain, err := s.open(dsn, nil, "prepared")
	if err != nil {
		return nil, err
	}
	defer closePool(plain)
	for _, ddl := range []string{
		"CREATE EXTENSION IF NOT EXISTS citext",
		"CREATE COLLATION IF NOT EXISTS level1 (provider = icu, locale = 'und-u-ks-level1', deterministic = false)",
		"CREATE COLLATION IF NOT EXISTS level2 (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
		"CREATE COLLATION IF NOT EXISTS shifted (provider = icu, locale = 'und-u-ka-shifted', deterministic = false)",
		"DROP DOMAIN IF EXISTS nonces; CREATE DOMAIN nonces AS citext",
	} {
		if err := plain.Exec(ddl).Error; err != nil {
			return nil, err
		}
	}
	column := func(types []string, names ...string) {
		for _, kind := range types {
			var ddl []string
			for _, name := range names {
				ddl = append(ddl, fmt.Sprintf("ALTER TABLE {table} ALTER %s TYPE %s", name, kind))
			}
			all = append(all, s.shape("column "+strings.Join(names, ", ")+" "+kind, ddl...)...)
		}
	}
	column([]string{"text", `text COLLATE "C"`, `text COLLATE "en-x-icu"`, "citext", "nonces", "text COLLATE level1", "varchar(255) COLLATE level2", "text COLLATE shifted",
		"char(255)", "char(255) COLLATE level2", "name", "varchar(40)", "bytea USING nonce::bytea", "uuid USING gen_random_uuid()"}, "nonce")
	column([]string{"text", "varchar(36)", "char(36)", "char(50)", "citext", "bytea USING NULL"}, "id")
	column([]string{"timestamp", "timestamp(0)", "timestamptz(0)", "date", "text"}, "issued_at", "expires_at", "used_at")
	for _, change := range []string{"SET UNLOGGED", "REPLICA IDENTITY FULL", "ADD tenant text NOT NULL", "ADD tenant text NOT NULL DEFAULT 'x'"} {
		all = append(all, s.shape("table "+change, "ALTER TABLE {table} "+change)...)
	}
	for i, set := range []string{"lock_timeout = '1ms'", "statement_timeout = '1ms'", "statement_timeout = '2s'", "default_transaction_isolation = 'serializable'",
		"default_transaction_read_only = on", "client_encoding = 'LATIN1'", "search_path = public", `"TimeZone" = 'Asia/Kathmandu'`} {
		role := fmt.Sprint("settings_", i)
		for _, ddl := range []string{"DROP ROLE IF EXISTS " + role, "CREATE ROLE " + role + " SUPERUSER LOGIN", "ALTER ROLE " + role + " SET " + set} {
			if err := plain.Exec(ddl).Error; err != nil {
				return nil, err
			}
		}
		for j, one := range postgresql(strings.Replace(dsn, "postgres@", role+"@", 1)).shape("ALTER ROLE SET " + set) {
			one.other = s.shape("")[j].open
			all = append(all, one)
		}
	}
	for _, encoding := range []string{"SQL_ASCII", "LATIN1", "EUC_JP"} {
		name := "settings_" + strings.ToLower(encoding)
		_ = plain.Exec("DROP DATABASE IF EXISTS " + name).Error
		if err := plain.Exec("CREATE DATABASE " + name + " ENCODING '" + encoding + "' LOCALE 'C' TEMPLATE template0").Error; err != nil {
			return nil, err
		}
		in := postgresql(inDatabase(dsn, name))
		for _, one := range in.shape("database ENCODING " + encoding) {
			one.other = in.shape("")[0].open
			all = append(all, one)
		}
	}
	return all, nil
}

// inDatabase returns a DSN with the name of another database.
func inDatabase(dsn, name string) string { return strings.Replace(dsn, "/dpopnonce?", "/"+name+"?", 1) }
