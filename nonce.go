package dpopnonce

import (
	"crypto/rand"
	"encoding/base64"
)

// wellFormed reports whether nonce can be one that was issued: 1 to 255 of
// NQCHAR. It is asked before any SQL, because a NUL byte or invalid UTF-8
// aborts a caller's transaction on PostgreSQL, and collations may take a
// padded or accented value for the real one.
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

// newNonce returns 256 random bits as 43 URL-safe characters: unpredictable,
// as RFC 9449 section 8 asks.
func newNonce() (string, error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(random[:]), nil
}
