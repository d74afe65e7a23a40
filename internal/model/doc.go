// Package model has nothing to import. Its tests are a model of how sealed
// nonces and proofs are accepted, small enough to try everything that can
// happen: all that clocks may read, sweeps at any moment, and callers that stop
// between any two steps. They show that one caller at most is accepted, and find
// the shortest way to a second acceptance where a rule is taken out:
//
//	go test ./internal/model -v
//
// rules_test.go has the rules and the steps of a call, state_test.go what can
// happen next, search_test.go the search, model_test.go what it has to find.
package model
