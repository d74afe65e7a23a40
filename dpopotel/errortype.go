package dpopotel

import (
	"errors"
	"reflect"
	"strconv"
)

// errorType returns the error.type of a failure: few values, and no text.
func errorType(err error) string {
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return "timeout"
	}
	var state interface{ SQLState() string } // of drivers for PostgreSQL
	if errors.As(err, &state) {
		return state.SQLState()
	}
	if number := mysqlNumber(err); number != 0 {
		return strconv.FormatUint(number, 10)
	}
	return "_OTHER"
}

// mysqlNumber returns the number of a *mysql.MySQLError, which has no method for
// it, but fields for a number and a message; or 0.
func mysqlNumber(err error) uint64 {
	v := reflect.Indirect(reflect.ValueOf(err))
	if number := field(v, "Number"); number.CanUint() && field(v, "Message").Kind() == reflect.String {
		return number.Uint()
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		return mysqlNumber(err.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			if number := mysqlNumber(inner); number != 0 {
				return number
			}
		}
	}
	return 0
}

// field returns a field of a struct, or the zero Value: also where it is that of
// an embedded pointer that is nil, on which FieldByName panics.
func field(v reflect.Value, name string) (f reflect.Value) {
	if v.Kind() == reflect.Struct {
		if field, ok := v.Type().FieldByName(name); ok {
			f, _ = v.FieldByIndexErr(field.Index)
		}
	}
	return f
}
