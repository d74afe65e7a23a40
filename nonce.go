package dpopnonce

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// wellFormed reports whether nonce is 1 to 255 characters of NQCHAR. Others never
// reach the database: a NUL byte or invalid UTF-8 aborts a caller's transaction
// on PostgreSQL, and collations may take a padded or accented value for another.
func wellFormed(nonce string) bool {
	return nonce != "" && len(nonce) <= maxNonce && onlyNQCHAR(nonce)
}

// onlyNQCHAR reports whether s has only characters of RFC 9449 section 8.1:
// NQCHAR = %x21 / %x23-5B / %x5D-7E.
func onlyNQCHAR(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7E || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// sortable is base64 with URL-safe digits whose byte order is that of their
// values, so that encoded values sort as the values do.
var sortable = base64.NewEncoding("-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz").
	WithPadding(base64.NoPadding)

// newNonce returns 216 random bits behind the time in milliseconds, as 44
// URL-safe characters: unpredictable, as RFC 9449 section 8 asks, and next to
// its neighbours in time in the index, so that they share pages there.
func newNonce(now time.Time) (string, error) {
	var b [6 + 27]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	if _, err := rand.Read(b[6:]); err != nil {
		return "", err
	}
	return sortable.EncodeToString(b[:]), nil
}

// mintedAt returns the time in a nonce of newNonce, and the zero one for any
// other. Those that begin with another character are from after 2109, or from
// another program.
func mintedAt(nonce string) time.Time {
	b, err := sortable.DecodeString(nonce)
	if err != nil || len(b) != 6+27 || nonce[0] != '-' {
		return time.Time{}
	}
	var ms [8]byte
	copy(ms[2:], b)
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}
