package dpopotel

import (
	"context"
	"errors"
	"time"

	"github.com/attesto/dpopnonce"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// lookTimeout bounds a look at the table, for readers whose context has no end.
const lookTimeout = 5 * time.Second

// SweepLag makes mp observe r.SweepLag as the gauge dpopnonce.sweep.lag, with
// attrs, at each collection, until the Registration is unregistered: do that
// before the database is closed. A look that fails goes to OpenTelemetry's error
// handler, and the gauge has no value then: alert on its absence. One node of a
// fleet suffices.
func SweepLag(mp metric.MeterProvider, r *dpopnonce.Repository, attrs ...attribute.KeyValue) (metric.Registration, error) {
	if mp == nil {
		return nil, errNoProvider
	}
	if r == nil {
		return nil, errors.New("dpopotel: nil Repository")
	}
	m := mp.Meter(scope)
	gauge, err := m.Float64ObservableGauge("dpopnonce.sweep.lag", metric.WithUnit("s"),
		metric.WithDescription("For how long the oldest row has been expired."))
	if err != nil {
		return nil, err
	}
	with := metric.WithAttributes(attrs...) // which sorts a copy
	return m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		lag, err := r.SweepLag(ctx)
		if err == nil {
			o.ObserveFloat64(gauge, lag.Seconds(), with)
		}
		return err
	}, gauge)
}
