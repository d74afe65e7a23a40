package main

import (
	"fmt"
	"math"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// counted writes a number of rows in words where it is round.
func counted(rows int) string {
	switch {
	case rows%1_000_000 == 0:
		return fmt.Sprintf("%d million", rows/1_000_000)
	case rows%1000 == 0:
		return fmt.Sprintf("%d thousand", rows/1000)
	}
	return fmt.Sprint(rows)
}

// ratio is a median over that of the smallest table, of pairs in one round.
func (g *growth) ratio(s *size, operation string, callers int) float64 {
	return against(g.samples, s.name, g.sizes[0].name, operation, callers)
}

func (g *growth) perSecond(s *size, operation string, callers int) float64 {
	var rates []float64
	for _, one := range g.samples[cell{s.name, operation, callers}] {
		rates = append(rates, one.perSecond())
	}
	return median(rates)
}

// growth writes two tables: how much slower calls are, and the figures.
func (r report) growth(all []*growth) {
	callers := []int{1, 8, 32, 128}
	line(r.summary, "## As the table grows\n")
	line(r.summary, "Half of the rows are unused nonces, half are spent proofs; the tables lie in one database, and take turns. "+
		"A consume is of a nonce that was issued just before. The smallest table is filled anew for each cell.\n")
	line(r.summary, "%s", columns("calls per second over those on "+all[0].sizes[0].name+" rows, callers", callers))
	for _, g := range all {
		for _, s := range g.sizes[1:] {
			for _, o := range grownOperations {
				row := fmt.Sprintf("| %s, %s rows, %s", g.database, s.name, o.name)
				for _, n := range callers {
					row += " |"
					if len(g.samples[cell{s.name, o.name, n}]) > 0 {
						row += fmt.Sprintf(" %.2f", g.ratio(s, o.name, n))
					}
				}
				line(r.summary, "%s |", row)
			}
			line(r.summary, "| %s, %s rows, rows that a sweep deletes | %.2f | | | |", g.database, s.name, g.ratio(s, "sweep", 1))
		}
	}
	line(r.summary, "\n![The same as a chart, 8 callers](growth.svg)\n")

	line(r.figures, "### As the table grows\n\n8 callers; log is WAL or redo log, disk is the table and its indexes.\n")
	line(r.figures, "| | rows | per second | log, bytes per call | disk, bytes per call |\n|---|---:|---:|---:|---:|")
	for _, g := range all {
		for _, o := range grownOperations {
			for _, s := range g.sizes {
				written := g.bytes[cell{s.name, o.name, 8}]
				line(r.figures, "| %s, %s | %s | %.0f | %s | %s |", g.database, o.name, s.name, g.perSecond(s, o.name, 8), known(written[0]), known(written[1]))
			}
		}
		for _, s := range g.sizes {
			line(r.figures, "| %s, sweep, rows | %s | %.0f | | |", g.database, s.name, g.perSecond(s, "sweep", 1))
		}
	}
	line(r.figures, "")
}

func known(bytes float64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", bytes)
}

// growthChart draws the ratios by the size of the table, 8 callers, a panel for
// each database.
func growthChart(directory string, all []*growth) error {
	if len(all) == 0 {
		return nil
	}
	var panels []*plot.Plot
	for _, g := range all {
		p := plot.New()
		p.Title.Text, p.X.Label.Text = g.database, "rows"
		p.Y.Min, p.Y.Max = 0, 1.5
		p.Legend.Left, p.Legend.Padding = true, vg.Points(4)
		p.Legend.TextStyle.Font.Size = vg.Points(9)
		p.Add(plotter.NewGrid())
		var ticks plot.ConstantTicks
		for _, s := range g.sizes {
			ticks = append(ticks, plot.Tick{Value: math.Log10(float64(s.rows)), Label: s.name})
		}
		p.X.Tick.Marker = ticks
		for i, operation := range []string{"consume", "rotate", "rotate, sealed", "spend", "sweep"} {
			callers := 8
			if operation == "sweep" {
				callers = 1
			}
			var points plotter.XYs
			for _, s := range g.sizes {
				points = append(points, plotter.XY{X: math.Log10(float64(s.rows)), Y: g.ratio(s, operation, callers)})
			}
			curve, dots, err := series(i, points)
			if err != nil {
				return err
			}
			p.Add(curve, dots)
			p.Legend.Add(operation, curve, dots)
		}
		panels = append(panels, p)
	}
	panels[0].Y.Label.Text = all[0].sizes[0].name + " rows = 1"
	return save(filepath.Join(directory, "growth.svg"), panels)
}
