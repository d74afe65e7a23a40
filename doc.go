// Package dpopnonce stores the nonces that a server issues for DPoP proofs
// (RFC 9449 section 8), for applications that use GORM. A nonce is accepted at
// most once, whatever the number of goroutines, processes and machines:
// acceptance is one conditional UPDATE, and its count of rows is the verdict.
//
// [NewRepository] returns the store on an application's own *gorm.DB.
// [Repository.Issue] hands out a nonce, [Repository.Consume] spends it,
// [Repository.Rotate] does both for the next request, and [Repository.Sweep]
// deletes what expired. [Repository.Check] is for servers that allow reuse
// inside a window. SQLite, PostgreSQL and MariaDB are supported; see package
// dialects for others.
//
// [NewSealer] returns an issuer of nonces that prove themselves, and need no row
// where a nonce may be used again inside its window.
//
// A nonce that an authorization server issued is not acceptable at a resource
// server (section 9): give each a table of its own, through [WithTable].
package dpopnonce
