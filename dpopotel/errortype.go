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
// it, or 0.
func mysqlNumber(err error) uint64 {
	if v := reflect.Indirect(reflect.ValueOf(err)); v.Kind() == reflect.Struct {
		if number := v.FieldByName("Number"); number.IsValid() && number.CanUint() {
			return number.Uint()
		}
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		if inner := err.Unwrap(); inner != nil {
			return mysqlNumber(inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			if number := mysqlNumber(inner); number != 0 {
				return number
			}
		}
	}
	return 0
}
