package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// A cost is what a call takes of this process, by hand and of the library.
type cost struct {
	database, call string
	hand, library  figures
}

// costCallers is how many callers there are: one alone also pays for putting the
// process to sleep and waking it.
const costCallers = 8

// costs returns those of the library without group commit.
func (c comparison) costs(measured []string, all map[cell]figures) (list []cost) {
	for _, operation := range measured {
		for _, s := range c.measuring(operation) {
			call := strings.TrimPrefix(s.name, plain)
			if call == s.name || strings.HasPrefix(s.name, group) || s.name == sealedGroup {
				continue
			}
			list = append(list, cost{c.database, operation + call,
				all[cell{c.stores[0].name, operation, costCallers}], all[cell{s.name, operation, costCallers}]})
		}
	}
	return list
}

// cost writes the one table of what calls take.
func (r report) cost(list []cost) {
	line(r.figures, "### Cost of a call\n\nOf this process, %d callers, beside the same by hand.\n", costCallers)
	line(r.figures, "| | processor time | by hand | ratio | allocations | by hand | ratio | bytes | by hand |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, c := range list {
		line(r.figures, "| %s, %s | %v | %v | %.2f | %.0f | %.0f | %.2f | %.0f | %.0f |", c.database, c.call,
			c.library.cpu.Round(100*time.Nanosecond), c.hand.cpu.Round(100*time.Nanosecond), c.library.cpuRatio,
			c.library.objects, c.hand.objects, c.library.objects/c.hand.objects, c.library.bytes, c.hand.bytes)
	}
	line(r.figures, "\n![The ratios, as a chart](cost.svg)\n")
}

// costChart draws the ratios, a panel for each database.
func costChart(directory string, list []cost) error {
	if len(list) == 0 {
		return nil
	}
	var panels []*plot.Plot
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].database == list[0].database {
			n++
		}
		p, err := costPanel(list[:n])
		if err != nil {
			return err
		}
		panels, list = append(panels, p), list[n:]
	}
	return save(filepath.Join(directory, "cost.svg"), panels)
}

func costPanel(list []cost) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = list[0].database
	p.Y.Label.Text = "by hand = 1"
	p.Legend.Top, p.Legend.Left, p.Legend.Padding = true, true, vg.Points(4)
	p.X.Tick.Label.Font.Size, p.Legend.TextStyle.Font.Size = vg.Points(7), vg.Points(9)
	p.Add(plotter.NewGrid())
	var calls []string
	processor, allocations := plotter.Values{}, plotter.Values{}
	top := 1.0
	for _, c := range list {
		calls = append(calls, strings.Replace(c.call, ", ", ",\n", 1))
		processor = append(processor, c.library.cpuRatio)
		allocations = append(allocations, c.library.objects/c.hand.objects)
		top = max(top, c.library.cpuRatio, c.library.objects/c.hand.objects)
	}
	for i, bars := range []struct {
		name   string
		values plotter.Values
	}{{"processor time", processor}, {"allocations", allocations}} {
		b, err := plotter.NewBarChart(bars.values, vg.Points(10))
		if err != nil {
			return nil, err
		}
		b.Color, b.LineStyle.Width = plotutil.Color(i), 0
		b.Offset = vg.Points(10*float64(i) - 5)
		p.Add(b)
		p.Legend.Add(bars.name, b)
	}
	p.NominalX(calls...)
	p.Y.Min, p.Y.Max = 0, math.Ceil(1.4*top) // room for the legend
	var ticks plot.ConstantTicks
	for n := 0.0; n <= p.Y.Max; n++ {
		ticks = append(ticks, plot.Tick{Value: n, Label: fmt.Sprint(n)})
	}
	p.Y.Tick.Marker = ticks
	return p, nil
}
