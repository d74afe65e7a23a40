// Package seal makes nonces that prove themselves. A sealed nonce says when it
// was issued and for how long it is good, and only a holder of a key can make
// one.
//
// It is 60 characters of base64url, which are 45 bytes, integers big-endian:
//
//	version   1  its first six bits are the first character, "s"
//	issued    5  Unix seconds
//	ttl       5  seconds
//	random   18
//	tag      16  the first bytes of an HMAC-SHA256
//
// 16 bytes are half of the hash, the least that RFC 2104 section 5 recommends.
// The HMAC covers the version, the purpose and the table, each behind its length
// in 8 bytes, and then issued, ttl and random.
//
// 45 bytes fill 60 characters to the last bit, so that a nonce has one text. A
// second text would be a second row, and the nonce would be accepted twice.
package seal

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

const (
	mark    = 's'             // the first character of every sealed nonce
	version = 0b101100<<2 | 1 // "s" in base64url, and the number of the form

	issuedAt = 1 // where each part begins
	ttlAt    = issuedAt + 5
	randomAt = ttlAt + 5
	tagAt    = randomAt + 18
	size     = tagAt + 16
	textSize = size / 3 * 4
)

// ErrClock is the error of instants that no sealed nonce can hold.
var ErrClock = errors.New("the clock is before 1970 or after 36811")

// A Scope is where a nonce is good. In any other scope it does not open.
type Scope struct{ Purpose, Table string }

// Seal returns a new nonce, with 144 random bits, that was issued at a Unix
// second and is good for ttl seconds.
func (k Key) Seal(s Scope, issued, ttl int64) (string, error) {
	var random [tagAt - randomAt]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return k.seal(s, issued, ttl, random[:])
}

// Derive returns the one nonce of issued and ttl, on every node: where Seal
// has random bits it has others that only a holder of the key can tell.
func (k Key) Derive(s Scope, issued, ttl int64) (string, error) {
	var times [randomAt]byte
	putTimes(times[:], issued, ttl)
	return k.seal(s, issued, ttl, k.sum("derive", s, times[issuedAt:])[:tagAt-randomAt])
}

func (k Key) seal(s Scope, issued, ttl int64, random []byte) (string, error) {
	if uint64(issued|ttl) >= 1<<40 {
		return "", ErrClock
	}
	var b [size]byte
	b[0] = version
	putTimes(b[:], issued, ttl)
	copy(b[randomAt:tagAt], random)
	copy(b[tagAt:], k.tag(s, b[:]))
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// Open returns what a nonce says that one of keys has sealed for s, and reports
// whether there is such a key. How long it takes does not depend on the tag.
func Open(keys []Key, s Scope, text string) (issued, ttl int64, ok bool) {
	if !HasForm(text) {
		return 0, 0, false
	}
	var b [size]byte
	if _, err := base64.RawURLEncoding.Decode(b[:], []byte(text)); err != nil || b[0] != version {
		return 0, 0, false
	}
	opened := 0
	for _, k := range keys {
		opened |= subtle.ConstantTimeCompare(b[tagAt:], k.tag(s, b[:]))
	}
	if opened == 0 {
		return 0, 0, false
	}
	return number(b[issuedAt:]), number(b[ttlAt:]), true
}

// HasForm reports whether text has the form of a sealed nonce, of this version
// or another. It looks at each character, since Go's decoders skip line ends.
func HasForm(text string) bool {
	if len(text) != textSize || text[0] != mark {
		return false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// putTimes writes issued and ttl into the bytes of a nonce.
func putTimes(b []byte, issued, ttl int64) {
	b[issuedAt], b[ttlAt] = byte(issued>>32), byte(ttl>>32)
	binary.BigEndian.PutUint32(b[issuedAt+1:], uint32(issued))
	binary.BigEndian.PutUint32(b[ttlAt+1:], uint32(ttl))
}

// number reads 5 bytes.
func number(b []byte) int64 {
	return int64(b[0])<<32 | int64(binary.BigEndian.Uint32(b[1:]))
}
