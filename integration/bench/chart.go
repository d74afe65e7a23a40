package main

import (
	"math"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart draws the ratio of each store to the statements written by hand: a panel
// for each operation, and one for the names.
func chart(path string, c comparison, measured []string, all map[cell]figures) error {
	top, bottom := 2.0, 0.5
	for _, f := range all {
		top, bottom = max(top, f.ratio), min(bottom, f.ratio)
	}
	low, high := math.Floor(math.Log2(bottom)), math.Ceil(math.Log2(top))
	names := plot.New()
	names.HideAxes()
	names.Legend.Top, names.Legend.Left = true, true
	names.Legend.Padding = vg.Points(4)
	names.Legend.TextStyle.Font.Size = vg.Points(9)
	panels := []*plot.Plot{}
	named := map[string]bool{}
	for _, operation := range measured {
		p := plot.New()
		p.Title.Text = operation
		p.X.Label.Text = "callers"
		p.X.Min, p.X.Max = -0.2, float64(len(c.callers))-0.8
		p.Y.Min, p.Y.Max = low, high
		p.X.Tick.Marker = plot.ConstantTicks(callerTicks(c.callers))
		p.Y.Tick.Marker = plot.ConstantTicks(ratioTicks(low, high))
		p.Add(plotter.NewGrid())
		for i, s := range c.stores {
			if !s.measures(operation) {
				continue
			}
			points := make(plotter.XYs, len(c.callers))
			for j, n := range c.callers {
				points[j] = plotter.XY{X: float64(j), Y: math.Log2(all[cell{s.name, operation, n}].ratio)}
			}
			curve, dots, err := series(i, points)
			if err != nil {
				return err
			}
			p.Add(curve, dots)
			if !named[s.name] {
				named[s.name] = true
				names.Legend.Add(s.name, curve, dots)
			}
		}
		panels = append(panels, p)
	}
	panels[0].Y.Label.Text = "calls/s, by hand = 1"
	return save(path, append(panels, names))
}

// series returns the line of the ith of a panel's. It is dashed once the colours
// have been used.
func series(i int, points plotter.XYs) (*plotter.Line, *plotter.Scatter, error) {
	curve, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return nil, nil, err
	}
	curve.Color, curve.Width = plotutil.Color(i), vg.Points(1.5)
	curve.Dashes = plotutil.Dashes(i / len(plotutil.DefaultColors))
	dots.Color, dots.Shape = plotutil.Color(i), draw.CircleGlyph{}
	return curve, dots, nil
}

func callerTicks(callers []int) (ticks []plot.Tick) {
	for i, n := range callers {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: strconv.Itoa(n)})
	}
	return ticks
}

// ratioTicks are the powers of two.
func ratioTicks(low, high float64) (ticks []plot.Tick) {
	for power := low; power <= high; power++ {
		ticks = append(ticks, plot.Tick{Value: power, Label: strconv.FormatFloat(math.Exp2(power), 'g', 3, 64)})
	}
	return ticks
}

// save draws panels in rows of three.
func save(path string, panels []*plot.Plot) error {
	const wide = 3
	rows := (len(panels) + wide - 1) / wide
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, wide)
		copy(grid[i], panels[i*wide:min((i+1)*wide, len(panels))])
	}
	canvas := vgsvg.New(24*vg.Centimeter, vg.Length(rows)*7*vg.Centimeter)
	tiles := draw.Tiles{Rows: rows, Cols: wide, PadX: vg.Points(12), PadY: vg.Points(12),
		PadTop: vg.Points(4), PadBottom: vg.Points(4), PadLeft: vg.Points(4), PadRight: vg.Points(16)}
	for i, row := range plot.Align(grid, tiles, draw.New(canvas)) {
		for j, part := range row {
			if grid[i][j] != nil {
				grid[i][j].Draw(part)
			}
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
