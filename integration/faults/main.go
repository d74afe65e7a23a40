// Command faults lets processes contend for nonces and proofs while it breaks
// databases, poolers, networks and the processes themselves. It then checks the
// outcomes of all calls: each nonce and proof is accepted at most once, not after
// its expiry, and a nonce only if it was issued.
//
//	go run . [-short] [-repeats N] [-out FILE] [SCENARIO...]
//
// It starts its own servers from the installed packages, prints a report in
// markdown, and fails if a scenario fails.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/attesto/dpopnonce/integration/faults/load"
)

// A scenario is one kind of fault.
type scenario struct {
	name, title string
	run         func(context.Context, *env) error
}

var scenarios = []scenario{
	{"sqlite", "SQLite: processes killed", killSQLite},
	{"disk", "SQLite: a full disk", fullDisk},
	{"postgres", "PostgreSQL: killed", killPostgres},
	{"failover", "PostgreSQL: failover to a synchronous standby", failover},
	{"mariadb", "MariaDB: killed", killMariaDB},
	{"power", "Power cuts", powerCuts},
	{"galera", "Galera: three nodes, one killed", killGalera},
	{"pooler", "PgBouncer: killed", killPgBouncer},
	{"network", "A network that cuts, slows and loses replies", brokenNetwork},
	{"partition", "Partitions", partition},
	{"patroni", "Patroni: three nodes, the leader lost", patroni},
	{"overload", "Overload", overload},
	{"clock", "Clocks that differ", clocks},
	{"deployment", "A rolling deployment", deployment},
	{"soak", "Soak", soak},
}

func main() {
	load.RunWorker()
	short := flag.Bool("short", false, "fewer faults and acceptances")
	repeats := flag.Int("repeats", 3, "cuts, partitions and failovers of each kind")
	out := flag.String("out", "", "file to also write the report to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *short, *repeats, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, short bool, repeats int, out string, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("unknown scenario %q", name)
		}
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "# Faults\n\nWritten by `make faults` on %s, %d cores, servers and load on one machine. "+
		"The columns of the first tables are explained below them.\n", time.Now().Format(time.DateOnly), runtime.NumCPU())
	var errs []error
	for _, s := range scenarios {
		if len(names) > 0 && !slices.Contains(names, s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", time.Now().Format(time.TimeOnly), s.title)
		section, err := runOne(ctx, s, short, repeats)
		text.WriteString(section)
		if err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
			fmt.Fprintln(os.Stderr, err)
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	text.WriteString(legend)
	fmt.Print(text.String())
	if out != "" && len(errs) == 0 {
		errs = append(errs, os.WriteFile(out, text.Bytes(), 0o644))
	}
	return errors.Join(errs...)
}

func runOne(ctx context.Context, s scenario, short bool, repeats int) (section string, err error) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // the servers run as other users
		return "", err
	}
	e := &env{dir: dir, short: short, repeats: repeats}
	err = s.run(ctx, e)
	return "\n## " + s.title + "\n\n" + strings.TrimSpace(e.text.String()) + "\n", err
}

const legend = `
## The columns

- *operations*: calls of Issue, Consume, Rotate and Spend by all processes. Those that *failed* may or may not have taken effect.
- *stored*, *sealed* and *proofs*: calls that accepted a stored nonce, a sealed nonce (WithSealer, WithOpener) or a proof (Spend). *expired*: calls with this outcome.
- *presented*: nonces and proofs. *by 2 or more*: the share that two or more processes presented and got an answer for. *lost*: those that were never accepted, although no call of them failed or returned ErrExpired. Stored nonces that a crash loses just after their issue are among them.
- *faults*: how often something was broken. *calls hit*: the fewest calls that ran during one fault and failed or had no answer at its end. After each fault every process has to get an acceptance again without help, or the run fails.
- *outage*: the longest time between two acceptances.
- *accepted twice*: nonces and proofs that were accepted more than once; three figures are of stored nonces, sealed nonces and proofs. *violations*: nonces and proofs whose history breaks the promise, as found by [porcupine](https://github.com/anishathalye/porcupine). The stores marked *has to fail* show that the checker finds violations.
`
