package main

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"
)

// report writes the figures as markdown: what most readers want first, and what is
// behind it.
type report struct {
	summary, figures io.Writer
	costs            *[]cost
	growths          *[]*growth
}

func line(w io.Writer, format string, values ...any) { fmt.Fprintf(w, format+"\n", values...) }

func (r report) head(t task, sync time.Duration) {
	line(r.summary, "# Results\n")
	line(r.summary, "Written by `make bench` on %s: %d cores, load and server on one machine, pools of %d connections. "+
		"The figures are medians of %d interleaved rounds of %v for each cell, in which the stores take turns %d times. "+
		"A write and its fsync take %v on this disk. Absolute figures drift from run to run, ratios hold.\n",
		time.Now().Format(time.DateOnly), runtime.NumCPU(), poolSize, t.rounds, t.length, turns, sync.Round(10*time.Microsecond))
	line(r.summary, "The tables have calls per second over those of the same statements written by hand, prepared: "+
		"an UPDATE and an INSERT for a rotate, one INSERT for a spend. The figures behind them are [below](#figures).\n")
	line(r.figures, "## Figures\n\nProcessor time and allocations are those of this process, for one call.\n")
}

// columns returns the head of a table whose columns are numbers of callers.
func columns(first string, callers []int) string {
	head, rule := "| "+first, "|---"
	for _, n := range callers {
		head += fmt.Sprintf(" | %d", n)
		rule += "|---:"
	}
	return head + " |\n" + rule + "|"
}

// ratios writes the one table of a database.
func (r report) ratios(title string, c comparison, measured []string, all map[cell]figures) {
	line(r.summary, "## %s\n\n%s", title, columns("over "+c.stores[0].name+", callers", c.callers))
	for _, operation := range measured {
		for _, s := range c.measuring(operation)[1:] {
			row := "| " + operation + ", " + strings.TrimPrefix(s.name, "dpopnonce, ")
			if s.name == plain {
				row = "| **" + operation + "**"
			}
			for _, n := range c.callers {
				row += fmt.Sprintf(" | %.2f", all[cell{s.name, operation, n}].ratio)
			}
			line(r.summary, "%s |", row)
		}
	}
	line(r.summary, "\n![The same as a chart](%s)\n", c.picture)
}

// cells writes the figures of every cell.
func (r report) cells(c comparison, measured []string, all map[cell]figures) {
	line(r.figures, "### %s, each cell\n", c.database)
	for _, operation := range measured {
		line(r.figures, "| %s | callers | calls/s | lowest to highest round | p50 | p99 | processor | allocations | ratio | p99 over that by hand |", operation)
		line(r.figures, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
		for _, n := range c.callers {
			for _, s := range c.measuring(operation) {
				f := all[cell{s.name, operation, n}]
				tail := fmt.Sprintf("%.2f", f.tail)
				own := fmt.Sprintf("%v | %v | %v | %.0f", f.p50.Round(time.Microsecond), f.p99.Round(time.Microsecond), f.cpu.Round(time.Microsecond), f.objects)
				if s.outside != nil {
					own, tail = "| | |", ""
				}
				line(r.figures, "| %s | %d | %.0f | %.0f to %.0f | %s | %.2f | %s |", s.name, n, f.perSecond, f.low, f.high, own, f.ratio, tail)
			}
		}
		line(r.figures, "")
	}
}

// sharing compares the library with group commit with the library without it.
func (r report) sharing(samples map[cell][]sample) {
	callers := []int{1, 8, 32, 128}
	line(r.figures, "### PostgreSQL, group commit over plain calls\n\n%s", columns("callers", callers))
	for _, pair := range []struct{ operation, with, without, name string }{
		{"issue", group, plain, "issue"}, {"consume", group, plain, "consume"}, {"rotate", group, plain, "rotate"},
		{"rotate", sealedGroup, sealed, "rotate, sealed"}, {"spend", group, plain, "spend"},
	} {
		row := "| " + pair.name
		for _, n := range callers {
			row += fmt.Sprintf(" | %.2f", against(samples, pair.with, pair.without, pair.operation, n))
		}
		line(r.figures, "%s |", row)
	}
	line(r.figures, "")
}

func (r report) facts(database string, all []fact) {
	line(r.figures, "### %s, other figures\n\n| | |\n|---|---:|", database)
	for _, f := range all {
		line(r.figures, "| %s | %s |", f.name, f.value)
	}
	line(r.figures, "")
}

func (r report) sweep(s sweepResult) {
	line(r.figures, "### Sweeping under load\n")
	line(r.figures, "%d expired rows among %d live ones, and 8 callers that rotate: medians of %d windows of %v without a sweep and as many during one, in turns. "+
		"In its first minute a sweep deletes at most 250 rows at once, and pauses for as long as that took.\n", s.expired, s.live, s.rounds, s.length)
	line(r.figures, "| WithSweepBatch | p99 of a rotate without a sweep | during one | ratio | rotates per second, ratio | rows swept per second | alone |")
	line(r.figures, "|---|---:|---:|---:|---:|---:|---:|")
	for _, b := range s.batches {
		line(r.figures, "| %d | %v | %v | %.2f | %.2f | %.0f | %.0f |", b.batch,
			time.Duration(median(b.without)).Round(10*time.Microsecond), time.Duration(median(b.with)).Round(10*time.Microsecond),
			median(b.ratios), median(b.calls), median(b.beside), median(b.alone))
	}
	line(r.figures, "\n```\n%s\n```\n", s.plan)
}
