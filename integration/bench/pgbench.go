package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// findPgbench returns the path of pgbench, or "" if it is not installed.
func findPgbench() string {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return path
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

// pgbenchScripts are the statements written by hand. Each transaction of each
// client has a nonce of its own.
var pgbenchScripts = map[string]string{
	"issue":   pgbenchInsert,
	"consume": "\\set i :i + 1\n" + pgbenchUpdate("to_char(:i::int * :clients::int + :client_id::int, 'FM00000000')"),
	"check": "\\set n random(1, 20000)\n" + `SELECT used_at IS NOT NULL, ` + pgbenchFresh + ` FROM ` + table +
		` WHERE nonce = 'check-' || to_char(:n::int, 'FM00000000') || '-xxxxxxxxxxxxxxxxxxxxxxxxxx';` + "\n",
	"rotate": "\\set i :i + 1\n" + pgbenchUpdate("to_char(:i::int * :clients::int + :client_id::int, 'FM00000000')") + pgbenchInsert,
}

const pgbenchInsert = `INSERT INTO ` + table + ` (id, nonce, issued_at, expires_at) VALUES (gen_random_uuid(),` +
	` encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex'), now(), now() + interval '1 hour')` +
	` ON CONFLICT (nonce) DO NOTHING;` + "\n"

const pgbenchFresh = `expires_at >= now() + interval '1 second' AND issued_at >= now() - interval '1 hour'` +
	` AND issued_at < now() + interval '301 seconds'`

func pgbenchUpdate(number string) string {
	return `UPDATE ` + table + ` SET used_at = now() WHERE nonce = :prefix::text || '-' || ` + number +
		` || '-xxxxxxxxxxxxxxxxxxxxxxxxxx' AND used_at IS NULL AND ` + pgbenchFresh + `;` + "\n"
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

// byPgbench runs the scripts with pgbench -M prepared, one second each.
func (s *server) byPgbench(path string) store {
	return store{name: "pgbench -M prepared", measured: []string{"issue", "consume", "check", "rotate"}, outside: func(ctx context.Context, operation string, callers int) (sample, error) {
		prefix := newPrefix()
		if operation == "consume" || operation == "rotate" {
			if _, err := s.add(ctx, prefix, 25_000); err != nil {
				return sample{}, err
			}
		}
		script, err := os.CreateTemp("", "pgbench-*.sql")
		if err != nil {
			return sample{}, err
		}
		defer os.Remove(script.Name())
		if _, err := script.WriteString(pgbenchScripts[operation]); err != nil {
			return sample{}, err
		}
		if err := script.Close(); err != nil {
			return sample{}, err
		}
		n := strconv.Itoa(callers)
		out, err := exec.CommandContext(ctx, path, "-n", "-M", "prepared", "-T", "1", "-c", n, "-j", "2", "-f", script.Name(),
			"-D", "i=0", "-D", "clients="+n, "-D", "prefix="+prefix, s.dsn).CombinedOutput()
		found := tps.FindSubmatch(out)
		if err != nil || found == nil {
			return sample{}, fmt.Errorf("pgbench: %w: %s", err, out)
		}
		perSecond, err := strconv.ParseFloat(string(found[1]), 64)
		return sample{calls: perSecond, elapsed: time.Second}, err
	}}
}
