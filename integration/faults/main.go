// Command faults lets processes contend for nonces while databases, poolers,
// networks and the processes themselves are killed, and checks the history of
// what every caller was told: a nonce is accepted at most once, never after its
// expiry, and never unless it was issued.
//
//	go run . [-short] [-out FILE] [SCENARIO...]
//
// It starts servers of its own from what is installed. It prints a report in
// markdown and fails if a scenario does.
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

// A scenario is a way for things to break.
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
	{"galera", "Galera: three nodes, one killed", killGalera},
	{"pooler", "PgBouncer: killed", killPgBouncer},
	{"network", "A network that cuts, slows and loses replies", brokenNetwork},
	{"overload", "Overload", overload},
	{"clock", "Clocks that differ", clocks},
	{"soak", "Soak", soak},
}

func main() {
	load.RunWorker()
	short := flag.Bool("short", false, "fewer faults and acceptances")
	out := flag.String("out", "", "file that the report is written to, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *short, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, short bool, out string, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("no scenario %q", name)
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
		section, err := runOne(ctx, s, short)
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

func runOne(ctx context.Context, s scenario, short bool) (section string, err error) {
	dir, err := os.MkdirTemp("", "faults-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // servers are other users'
		return "", err
	}
	e := &env{dir: dir, short: short}
	err = s.run(ctx, e)
	return "\n## " + s.title + "\n\n" + strings.TrimSpace(e.text.String()) + "\n", err
}

const legend = `
## The columns

- *operations*: calls of Issue, Consume and Rotate by all processes, of which some *failed*: what they did is not known.
- *accepted* and *expired*: calls of Consume and Rotate that were told so.
- *nonces*: those that were presented, how many of them *by 2 or more* processes that had an answer, and how many were *lost*: nobody was accepted, although no call failed and none was told that the nonce has expired. What a crash loses of the nonces just issued is among them.
- *faults*: how often something was killed or broken, and *calls hit*: the fewest calls that were in flight at one of them, and failed or had no answer when it was over. After each fault every process is accepted again by itself, or the run fails.
- *outage*: the longest time between two answers.
- *accepted twice*: nonces, counted. *violations*: nonces whose history no store could have that keeps the promise, as found by [porcupine](https://github.com/anishathalye/porcupine). The stores that are marked *has to fail* show that the checker finds some.
`
