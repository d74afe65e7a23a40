package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// report writes the figures as markdown.
type report struct{ w io.Writer }

func (r report) line(format string, values ...any) { fmt.Fprintf(r.w, format+"\n", values...) }

func (r report) head(version string, rounds int, length, sync time.Duration) {
	r.line("# Results\n")
	r.line("Written by `make bench` on %s: %s, %d cores, load and server on one machine, pools of %d connections. The figures are medians of %d interleaved rounds of %v for each cell, in which the stores take turns %d times. "+
		"A write and its fsync take %v on this disk. Absolute figures drift from run to run, ratios hold.\n",
		time.Now().Format(time.DateOnly), version, runtime.NumCPU(), poolSize, rounds, length, slices, sync.Round(10*time.Microsecond))
}

func (r report) table(title string, all map[cell]figures, stores []store, callers []int) {
	r.line("## %s\n", title)
	for _, operation := range operations {
		r.line("| %s | callers | calls/s | lowest to highest round | p50 | p99 | ratio to %s |", operation, stores[0].name)
		r.line("|---|---:|---:|---:|---:|---:|---:|")
		for _, n := range callers {
			for _, s := range stores {
				f := all[cell{s.name, operation, n}]
				p50, p99 := f.p50.Round(time.Microsecond).String(), f.p99.Round(time.Microsecond).String()
				if s.outside != nil {
					p50, p99 = "", ""
				}
				r.line("| %s | %d | %.0f | %.0f to %.0f | %s | %s | %.2f |", s.name, n, f.perSecond, f.low, f.high, p50, p99, f.ratio)
			}
		}
		r.line("")
	}
}

// sharing compares the library with group commit with the library without it.
func (r report) sharing(samples map[cell][]sample, with, without string) {
	r.line("## %s, over %s\n", with, without)
	r.line("| callers | 1 | 8 | 32 | 128 |\n|---|---:|---:|---:|---:|")
	for _, operation := range []string{"issue", "consume", "rotate"} {
		line := "| " + operation
		for _, n := range callerCount {
			line += fmt.Sprintf(" | %.2f", against(samples, with, without, operation, n))
		}
		r.line("%s |", line)
	}
	r.line("")
}

func (r report) facts(all []fact) {
	r.line("## PostgreSQL, other figures\n\n| | |\n|---|---:|")
	for _, f := range all {
		r.line("| %s | %s |", f.name, f.value)
	}
	r.line("")
}

func (r report) sweep(s sweepResult) {
	r.line("## Sweeping under load\n")
	r.line("%d expired rows among %d live ones, 8 callers that rotate. The p99 of a rotate is %v without the sweep and %v during it (%.1f times). The sweep took %v.\n",
		s.expired, s.live, s.without.Round(10*time.Microsecond), s.with.Round(10*time.Microsecond),
		float64(s.with)/float64(s.without), s.took.Round(100*time.Millisecond))
	r.line("```\n%s\n```", s.plan)
}

// chart draws the ratio of each store to the statements written by hand.
func chart(path string, all map[cell]figures, stores []store) error {
	p := plot.New()
	p.Title.Text = "Calls per second, by hand = 1 (PostgreSQL)"
	p.Y.Label.Text = "ratio"
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	var names []string
	for _, operation := range operations {
		for _, n := range callerCount {
			names = append(names, fmt.Sprintf("%s\n%d", operation, n))
		}
	}
	const width = 6.5
	highest := 1.0
	for i, s := range stores {
		var values plotter.Values
		for _, operation := range operations {
			for _, n := range callerCount {
				values = append(values, all[cell{s.name, operation, n}].ratio)
				highest = max(highest, values[len(values)-1])
			}
		}
		bars, err := plotter.NewBarChart(values, vg.Points(width))
		if err != nil {
			return err
		}
		bars.Color = plotutil.Color(i)
		bars.LineStyle.Width = 0
		bars.Offset = vg.Points(width * (float64(i) - float64(len(stores)-1)/2))
		p.Add(bars)
		p.Legend.Add(s.name, bars)
	}
	p.NominalX(names...)
	p.Y.Max = 1.4 * highest // leaves room for the legend
	return p.Save(26*vg.Centimeter, 11*vg.Centimeter, path)
}
