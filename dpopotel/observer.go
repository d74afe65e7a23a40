package dpopotel

import (
	"context"
	"errors"

	"github.com/attesto/dpopnonce"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const scope = "github.com/attesto/dpopnonce/dpopotel"

const (
	operationKey = attribute.Key("dpopnonce.operation")
	outcomeKey   = attribute.Key("dpopnonce.outcome")
	errorKey     = attribute.Key("error.type")
)

// The instruments are made with these boundaries. A View of the application's
// MeterProvider may set others.
var (
	seconds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
	ages    = []float64{1, 2, 5, 10, 30, 60, 120, 300, 600}
	callers = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256}
)

var errNoProvider = errors.New("dpopotel: nil MeterProvider")

// Observer returns an observer for dpopnonce.WithObserver that records metrics
// with mp. All have attrs, such as the name of the server, beside their own.
// One observer serves any number of repositories. A nil mp is an error, as is
// what mp makes one.
func Observer(mp metric.MeterProvider, attrs ...attribute.KeyValue) (func(context.Context, dpopnonce.Event), error) {
	if mp == nil {
		return nil, errNoProvider
	}
	i, err := newInstruments(mp.Meter(scope))
	if err != nil {
		return nil, err
	}
	attrs = append([]attribute.KeyValue(nil), attrs...)
	return func(ctx context.Context, e dpopnonce.Event) { i.record(ctx, e, attrs) }, nil
}

type instruments struct {
	duration, age        metric.Float64Histogram
	callers              metric.Int64Histogram
	repetitions, deleted metric.Int64Counter
}

func newInstruments(m metric.Meter) (i instruments, err error) {
	var errs [5]error
	i.duration, errs[0] = m.Float64Histogram("dpopnonce.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("How long calls took."), metric.WithExplicitBucketBoundaries(seconds...))
	i.age, errs[1] = m.Float64Histogram("dpopnonce.nonce.age", metric.WithUnit("s"),
		metric.WithDescription("How old nonces were when they were judged."), metric.WithExplicitBucketBoundaries(ages...))
	i.callers, errs[2] = m.Int64Histogram("dpopnonce.statement.callers", metric.WithUnit("{call}"),
		metric.WithDescription("How many calls shared the statement of a call."), metric.WithExplicitBucketBoundaries(callers...))
	i.repetitions, errs[3] = m.Int64Counter("dpopnonce.operation.repetitions", metric.WithUnit("{repetition}"),
		metric.WithDescription("Statements repeated after a serialization failure, a lock or a broken connection."))
	i.deleted, errs[4] = m.Int64Counter("dpopnonce.sweep.rows", metric.WithUnit("{row}"),
		metric.WithDescription("Expired rows that sweeps deleted."))
	return i, errors.Join(errs[:]...)
}

func (i instruments) record(ctx context.Context, e dpopnonce.Event, attrs []attribute.KeyValue) {
	with := func(own ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(own, attrs...)...))
	}
	operation, outcome := operationKey.String(e.Operation), outcomeKey.String(e.Outcome)
	if e.Outcome == "error" {
		i.duration.Record(ctx, e.Duration.Seconds(), with(operation, outcome, errorKey.String(errorType(e.Err))))
	} else {
		i.duration.Record(ctx, e.Duration.Seconds(), with(operation, outcome))
	}
	if e.Age >= 0 {
		i.age.Record(ctx, e.Age.Seconds(), with(outcome))
	}
	if e.Shared > 0 {
		i.callers.Record(ctx, int64(e.Shared), with(operation))
	}
	i.repetitions.Add(ctx, int64(e.Repeated), with(operation)) // 0 as well: rates need a beginning
	if e.Operation == "sweep" {
		i.deleted.Add(ctx, e.Rows, with())
	}
}
