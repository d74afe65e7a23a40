// Package dpopnonce stores the nonces that a server issues for DPoP proofs
// (RFC 9449 section 8), for applications that use GORM. A nonce is accepted at
// most once, whatever the number of goroutines, processes and machines:
// acceptance is one statement, and its count of rows is the verdict. For a stored
// nonce it is a conditional UPDATE, for a sealed nonce or a proof an INSERT.
//
// [NewRepository] returns the store on an application's own *gorm.DB.
// [Repository.Issue] hands out a nonce, [Repository.Consume] spends it,
// [Repository.Rotate] does both for the next request, and [Repository.Sweep]
// deletes what expired. For servers that accept a nonce again inside a window,
// [Repository.Check] judges a nonce and [Repository.Spend] accepts each proof
// once. SQLite, PostgreSQL and MariaDB are supported; see package dialects for
// others.
//
// [NewSealer] returns an issuer of sealed nonces, which prove themselves. By
// itself it needs no database, and its nonces are accepted again inside their
// window. A repository [WithSealer] accepts each of them once, and stores a row
// only then.
//
// A nonce that an authorization server issued is not acceptable at a resource
// server (section 9): give each a table of its own, through [WithTable].
package dpopnonce
