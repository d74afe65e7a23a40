// Package dpopotel records what a dpopnonce.Repository does as OpenTelemetry
// metrics. It needs the API of OpenTelemetry alone: bring your own MeterProvider.
//
//	observe, err := dpopotel.Observer(otel.GetMeterProvider())
//	...
//	nonces, err := dpopnonce.NewRepository(db, dpopnonce.WithObserver(observe))
//	...
//	lag, err := dpopotel.SweepLag(otel.GetMeterProvider(), nonces)
//	...
//	defer lag.Unregister()
//
// The metrics, all without a nonce:
//
//	dpopnonce.operation.duration     histogram, s         how long calls take
//	dpopnonce.nonce.age              histogram, s         how old nonces are that come back
//	dpopnonce.statement.callers      histogram, {call}    how full statements are under group commit
//	dpopnonce.operation.repetitions  counter              repeated statements
//	dpopnonce.sweep.rows             counter, {row}       rows that sweeps deleted
//	dpopnonce.sweep.lag              gauge, s             for how long the oldest row has been expired
//
// Their attributes are dpopnonce.operation and dpopnonce.outcome, as
// dpopnonce.Event has them, and error.type where the outcome is "error": an
// SQLSTATE, a MySQL error number, "timeout" or "_OTHER".
//
// Beside this file, dashboard.json is a dashboard for Grafana, and alerts.yaml
// has alert rules for Prometheus: docs/operations.md says what to do about them.
package dpopotel
