package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpopotel"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
)

// metrics are those of one node, for Prometheus. A nil one shows none.
type metrics struct {
	provider *metric.MeterProvider
	handler  http.Handler
}

func newMetrics() (*metrics, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	return &metrics{
		metric.NewMeterProvider(metric.WithReader(exporter)),
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}

// observe returns the option of a repository whose calls are to be seen.
func (m *metrics) observe() (dpopnonce.Option, error) {
	observe, err := dpopotel.Observer(m.provider)
	if err != nil {
		return nil, err
	}
	return dpopnonce.WithObserver(observe), nil
}

// close ends all looks at the database.
func (m *metrics) close() {
	if m != nil {
		_ = m.provider.Shutdown(context.Background()) // the reader sends nothing
	}
}

// health answers whether the database does, and how late sweeps are. A balancer
// must not take a node out for sweeps: no other node is better off.
func (s *store) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	lag, err := s.nonces.SweepLag(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "health", "error", err)
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "no database"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "sweep_lag_seconds": lag.Seconds()})
}

// printMetrics prints how many calls of the store came to what, and the sweep's
// lag.
func printMetrics(ctx context.Context, issuer string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", issuer+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	fmt.Println("Of /metrics:")
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if line := lines.Text(); strings.HasPrefix(line, "dpopnonce_operation_duration_seconds_count") || strings.HasPrefix(line, "dpopnonce_sweep_lag") {
			fmt.Println("  " + line)
		}
	}
	fmt.Println()
	return nil
}
