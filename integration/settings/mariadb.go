package main

import (
	"database/sql"
	"errors"
	"slices"
	"strings"

	driver "github.com/go-sql-driver/mysql"
	"gorm.io/driver/mysql"
	"gorm.io/gorm"
)

func mariadb(dsn string) server {
	return server{dsn: dsn, open: openMariaDB, modes: []string{"prepared", "interpolated"}}
}

// openMariaDB opens a pool whose sessions have variables set.
func openMariaDB(dsn string, params map[string]string, mode string) (*gorm.DB, error) {
	config, err := driver.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	config.Logger = &driver.NopLogger{}
	config.InterpolateParams = mode == "interpolated"
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	for name, value := range params {
		config.Params[name] = value
	}
	connector, err := driver.NewConnector(config)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	db, err := opened(pool, mysql.New(mysql.Config{Conn: pool}))
	if errors.Is(err, sql.ErrNoRows) { // what the driver of GORM makes of sql_select_limit=0
		pool = sql.OpenDB(connector)
		db, err = opened(pool, mysql.New(mysql.Config{Conn: pool, SkipInitializeWithVersion: true}))
	}
	return db, err
}

// mariadbVariables returns what to try of every variable that a session can set,
// and those that it cannot.
func mariadbVariables(dsn string) (all []setting, readOnly []string, err error) {
	s := mariadb(dsn)
	plain, err := s.open(dsn, nil, "prepared")
	if err != nil {
		return nil, nil, err
	}
	defer closePool(plain)
	rows, err := plain.Raw(`SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, COALESCE(ENUM_VALUE_LIST, ''), COALESCE(NUMERIC_MIN_VALUE, ''),
		COALESCE(NUMERIC_MAX_VALUE, ''), COALESCE(SESSION_VALUE, ''), READ_ONLY = 'YES'
		FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_SCOPE IN ('SESSION', 'SESSION ONLY') ORDER BY 1`).Rows()
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, kind, list, least, most, now string
		var fixed bool
		if err := rows.Scan(&name, &kind, &list, &least, &most, &now, &fixed); err != nil {
			return nil, nil, err
		}
		if fixed {
			readOnly = append(readOnly, name)
			continue
		}
		values := mariadbTexts[name]
		if values == nil {
			values = mariadbValues(kind, list, least, most, now)
		}
		all = append(all, s.each(name, values, mariadbTexts[name] != nil || kind == "SET")...)
	}
	for _, params := range mariadbTogether {
		all = append(all, s.variables(params)...)
	}
	return all, readOnly, rows.Err()
}

// each returns the settings of a variable's values, in both modes where text may
// come out another, and in one of them in turn elsewhere.
func (s server) each(name string, values []string, both bool) (all []setting) {
	for i, v := range values {
		if v == "" || slices.Contains(values[:i], v) {
			continue
		}
		modes := s.variables(name + "=" + v)
		if !both {
			modes = modes[i%2 : i%2+1]
		}
		all = append(all, modes...)
	}
	return all
}

func mariadbValues(kind, list, least, most, now string) (values []string) {
	quote := func(s string) string { return "'" + s + "'" }
	switch kind {
	case "BOOLEAN":
		return []string{"0", "1"}
	case "ENUM", "SET":
		for _, v := range strings.Split(list, ",") {
			values = append(values, quote(v))
		}
		if kind == "SET" {
			values = append(values, "''", quote(list))
		}
		return values
	case "FLAGSET": // each flag, the other way around
		for _, v := range strings.Split(list, ",") {
			switch {
			case v == "default":
			case strings.Contains(","+now+",", ","+v+"=on,"):
				values = append(values, quote(v+"=off"))
			default:
				values = append(values, quote(v+"=on"))
			}
		}
		return values
	case "VARCHAR":
		return []string{"''", "'a'"}
	case "DOUBLE":
		return []string{least, most, "0.000001", "0.5", "1"}
	}
	return []string{least, most, "1", "2", "1024"}
}
