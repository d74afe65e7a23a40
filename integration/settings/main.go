// Command settings tries what a session, a server or a table can have set: every
// call of the library has the right outcome there, or an error says what is
// wrong. It prints its findings in markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

func main() {
	only := flag.String("only", "", "a pattern of what to try")
	out := flag.String("out", "", "the file to write, in place of stdout")
	flag.Parse()
	if err := run(context.Background(), regexp.MustCompile(*only), *out); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

// A section is what is tried on one kind of server.
type section struct {
	title, about string
	settings     []setting
}

func run(ctx context.Context, only *regexp.Regexp, out string) error {
	dir, err := os.MkdirTemp("", "settings")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	sections, err := inventory(os.Getenv("MYSQL_DSN"), os.Getenv("POSTGRES_DSN"), dir)
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString(head)
	for _, s := range sections {
		s.settings = matching(s.settings, only)
		if len(s.settings) > 0 {
			write(&text, s, tryAll(ctx, s.settings))
		}
	}
	var own []finding
	for _, server := range mariadbServers {
		found, err := tryServer(ctx, server.args, server.sessions, only)
		if err != nil {
			return err
		}
		own = append(own, found...)
	}
	if len(own) > 0 {
		write(&text, section{title: "MariaDB, servers with arguments"}, own)
	}
	if out == "" {
		fmt.Print(text.String())
		return nil
	}
	return os.WriteFile(out, []byte(text.String()), 0o644)
}

func inventory(mysqlDSN, postgresDSN, dir string) ([]section, error) {
	variables, readOnly, err := mariadbVariables(mysqlDSN)
	if err != nil {
		return nil, err
	}
	mariadbTables, err := mariadbShapes(mysqlDSN)
	if err != nil {
		return nil, err
	}
	parameters, err := postgresParameters(postgresDSN)
	if err != nil {
		return nil, err
	}
	postgresTables, err := postgresShapes(postgresDSN)
	if err != nil {
		return nil, err
	}
	return []section{
		{"MariaDB, variables of a session", "No session can set `" + strings.Join(readOnly, "`, `") + "`.", variables},
		{"MariaDB, tables and databases", "", mariadbTables},
		{"PostgreSQL, parameters of a session", "", parameters},
		{"PostgreSQL, tables, roles and databases", "", postgresTables},
		{"SQLite, pragmas", "On top of `journal_mode=WAL`, `busy_timeout=10000` and `_txlock=immediate`.", sqlitePragmas(dir)},
	}, nil
}

func matching(all []setting, only *regexp.Regexp) (some []setting) {
	for _, s := range all {
		if only.MatchString(s.String()) {
			some = append(some, s)
		}
	}
	return some
}

// A finding is the verdict on a setting.
type finding struct {
	setting
	outcome
	err error // it cannot be tried
}

// tryAll tries settings, four at once.
func tryAll(ctx context.Context, all []setting) []finding {
	found := make([]finding, len(all))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := range next {
				found[i].setting = all[i]
				found[i].outcome, found[i].err = all[i].try(ctx, fmt.Sprintf("settings_%d_%d", os.Getpid(), i))
				fmt.Fprintf(os.Stderr, "%d/%d %s: %s\n", i, len(all), all[i], found[i].verdict())
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	return found
}

// tryServer tries sessions on a server of their own.
func tryServer(ctx context.Context, args, params []string, only *regexp.Regexp) ([]finding, error) {
	var all []setting
	for _, p := range params {
		all = append(all, matching(sessions("", args, p), only)...)
	}
	if len(all) == 0 {
		return nil, nil
	}
	dsn, stop, err := startMariaDB(args...)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", args, err)
	}
	defer stop()
	all = nil
	for _, p := range params {
		all = append(all, matching(sessions(dsn, args, p), only)...)
	}
	return tryAll(ctx, all), nil
}
