package dpopotel_test

import (
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpopotel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

var ctx = context.Background()

// collect returns the metrics of a reader by name.
func collect(t *testing.T, reader *metric.ManualReader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		t.Fatal(err)
	}
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		if scope.Scope.Name != "github.com/attesto/dpopnonce/dpopotel" {
			t.Errorf("scope %s", scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// A point is what a test compares: attributes, count of measurements, and sum.
type point struct {
	attrs string
	count uint64
	sum   float64
}

func points(m metricdata.Metrics) (all []point, bounds []float64) {
	text := func(s attribute.Set) string { return s.Encoded(attribute.DefaultEncoder()) }
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			all, bounds = append(all, point{text(p.Attributes), p.Count, p.Sum}), p.Bounds
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			all, bounds = append(all, point{text(p.Attributes), p.Count, float64(p.Sum)}), p.Bounds
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			all = append(all, point{text(p.Attributes), 1, float64(p.Value)})
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			all = append(all, point{text(p.Attributes), 1, p.Value})
		}
	}
	return all, bounds
}

func TestMetricsHaveNamesUnitsAttributesAndBoundaries(t *testing.T) {
	reader := metric.NewManualReader()
	observe, err := dpopotel.Observer(metric.NewMeterProvider(metric.WithReader(reader)), attribute.String("node", "a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []dpopnonce.Event{
		{Operation: "consume", Outcome: "ok", Duration: time.Second, Age: 90 * time.Second, Shared: 16},
		{Operation: "consume", Outcome: "ok", Duration: time.Second / 2, Age: 0, Shared: 16, Repeated: 2},
		{Operation: "sweep", Outcome: "ok", Duration: time.Second / 4, Age: -1, Shared: 1, Rows: 1000},
		{Operation: "issue", Outcome: "error", Err: state("53300"), Duration: time.Second, Age: -1},
	} {
		observe(ctx, e)
	}
	seconds := []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	got := collect(t, reader)
	for name, want := range map[string]struct {
		unit   string
		bounds []float64
		points []point
	}{
		"dpopnonce.operation.duration": {"s", seconds, []point{
			{"dpopnonce.operation=consume,dpopnonce.outcome=ok,node=a", 2, 1.5},
			{"dpopnonce.operation=sweep,dpopnonce.outcome=ok,node=a", 1, 0.25},
			{"dpopnonce.operation=issue,dpopnonce.outcome=error,error.type=53300,node=a", 1, 1},
		}},
		"dpopnonce.nonce.age": {"s", []float64{1, 2, 5, 10, 30, 60, 120, 300, 600}, []point{{"dpopnonce.outcome=ok,node=a", 2, 90}}},
		"dpopnonce.statement.callers": {"{call}", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}, []point{
			{"dpopnonce.operation=consume,node=a", 2, 32}, {"dpopnonce.operation=sweep,node=a", 1, 1},
		}},
		"dpopnonce.operation.repetitions": {"{repetition}", nil, []point{
			{"dpopnonce.operation=consume,node=a", 1, 2}, {"dpopnonce.operation=sweep,node=a", 1, 0}, {"dpopnonce.operation=issue,node=a", 1, 0},
		}},
		"dpopnonce.sweep.rows": {"{row}", nil, []point{{"node=a", 1, 1000}}},
	} {
		m, ok := got[name]
		all, bounds := points(m)
		delete(got, name)
		if !ok || m.Unit != want.unit || m.Description == "" || !reflect.DeepEqual(bounds, want.bounds) || !sameSet(all, want.points) {
			t.Errorf("%s: unit %q, bounds %v, points %v", name, m.Unit, bounds, all)
		}
	}
	if len(got) > 0 {
		t.Errorf("more metrics: %v", got)
	}
}

func sameSet(a, b []point) bool {
	counts := map[point]int{}
	for _, p := range a {
		counts[p]++
	}
	for _, p := range b {
		counts[p]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

func TestRepositoryIsObserved(t *testing.T) {
	reader := metric.NewManualReader()
	mp := metric.NewMeterProvider(metric.WithReader(reader))
	observe, err := dpopotel.Observer(mp)
	if err != nil {
		t.Fatal(err)
	}
	db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "nonces.db")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	now := time.Now()
	r, err := dpopnonce.NewRepository(db, dpopnonce.WithObserver(observe), dpopnonce.WithClock(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	lag, err := dpopotel.SweepLag(mp, r, attribute.String("table", "nonces"))
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := r.Issue(ctx, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	if err := r.Consume(ctx, nonce, time.Minute); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	got := collect(t, reader)
	if all, _ := points(got["dpopnonce.nonce.age"]); !sameSet(all, []point{{"dpopnonce.outcome=ok", 1, 20}}) {
		t.Errorf("ages: %v", all)
	}
	if all, _ := points(got["dpopnonce.sweep.lag"]); got["dpopnonce.sweep.lag"].Unit != "s" || !sameSet(all, []point{{"table=nonces", 1, 3560}}) {
		t.Errorf("lag: %v", got["dpopnonce.sweep.lag"])
	}
	if _, err := r.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if all, _ := points(collect(t, reader)["dpopnonce.sweep.lag"]); !sameSet(all, []point{{"table=nonces", 1, 0}}) {
		t.Errorf("lag after a sweep: %v", all)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err == nil {
		t.Error("a look that fails is no error of the collection")
	}
	if err := lag.Unregister(); err != nil {
		t.Fatal(err)
	}
	if _, has := collect(t, reader)["dpopnonce.sweep.lag"]; has {
		t.Error("observed after Unregister")
	}
}

func TestAttributesOfTheCallerKeepTheirOrder(t *testing.T) {
	mp := metric.NewMeterProvider(metric.WithReader(metric.NewManualReader()))
	attrs := []attribute.KeyValue{attribute.String("b", "1"), attribute.String("a", "2")}
	observe, err := dpopotel.Observer(mp, attrs...)
	if err != nil {
		t.Fatal(err)
	}
	observe(ctx, dpopnonce.Event{Operation: "sweep", Outcome: "ok", Age: -1})
	lag, err := dpopotel.SweepLag(mp, &dpopnonce.Repository{}, attrs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := lag.Unregister(); err != nil {
		t.Fatal(err)
	}
	if attrs[0].Key != "b" || attrs[1].Key != "a" {
		t.Errorf("they are %v now", attrs)
	}
}

func TestNilArgumentsAreErrors(t *testing.T) {
	if _, err := dpopotel.Observer(nil); err == nil {
		t.Error("Observer: no error")
	}
	if _, err := dpopotel.SweepLag(nil, nil); err == nil {
		t.Error("SweepLag without a MeterProvider: no error")
	}
	if _, err := dpopotel.SweepLag(metric.NewMeterProvider(), nil); err == nil {
		t.Error("SweepLag without a Repository: no error")
	}
}
