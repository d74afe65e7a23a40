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

type mysqlError struct {
	Number  uint16
	Message string
}

func (e *mysqlError) Error() string { return fmt.Sprint("Error ", e.Number) }

// embedding embeds an error that may be nil; numbered has a number that is not
// MySQL's.
type embedding struct{ *mysqlError }

func (embedding) Error() string { return "wrapped" }

type numbered struct {
	Number uint16
	error
}

func (numbered) Error() string   { return "numbered" }
func (n numbered) Unwrap() error { return n.error }

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
		{errors.Join(errors.New("a"), fmt.Errorf("b: %w", &mysqlError{Number: 1205})), "1205"},
		{embedding{&mysqlError{Number: 1213}}, "1213"},
		{errors.Join(embedding{}, &mysqlError{Number: 1020}), "1020"},
		{numbered{7, &mysqlError{Number: 1062}}, "1062"},
		{fmt.Errorf("dpopnonce: consume: %w", embedding{}), "_OTHER"},
		{numbered{7, nil}, "_OTHER"},
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
