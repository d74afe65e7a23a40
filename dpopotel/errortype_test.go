package dpopotel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/attesto/dpopnonce"
	"github.com/attesto/dpopnonce/dpopotel"
	"go.opentelemetry.io/otel/sdk/metric"
)

// state is an error of PostgreSQL, mysqlError one of MySQL.
type state string

func (s state) Error() string    { return "SQLSTATE " + string(s) }
func (s state) SQLState() string { return string(s) }

type mysqlError struct{ Number uint16 }

func (e *mysqlError) Error() string { return fmt.Sprint("Error ", e.Number) }

func TestErrorTypesAreFew(t *testing.T) {
	reader := metric.NewManualReader()
	observe, err := dpopotel.Observer(metric.NewMeterProvider(metric.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("dpopnonce: consume: %w", state("57P01")), "57P01"},
		{errors.Join(errors.New("a"), fmt.Errorf("b: %w", &mysqlError{1205})), "1205"},
		{fmt.Errorf("dpopnonce: consume: %w", context.DeadlineExceeded), "timeout"},
		{errors.Join(context.DeadlineExceeded, state("57014")), "timeout"},
		{errors.New("something else"), "_OTHER"},
	} {
		observe(ctx, dpopnonce.Event{Operation: "consume", Outcome: "error", Err: c.err, Age: -1})
		want["dpopnonce.operation=consume,dpopnonce.outcome=error,error.type="+c.want] = true
	}
	all, _ := points(collect(t, reader)["dpopnonce.operation.duration"])
	for _, p := range all {
		if !want[p.attrs] {
			t.Errorf("%s", p.attrs)
		}
		delete(want, p.attrs)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}
