package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"
)

// SecretSize is the size of a secret, in bytes: as many as the hash has.
const SecretSize = sha256.Size

// A Key computes the HMAC-SHA256 of a message under a secret.
//
// It is a func because that is what nothing can look into: fmt prints the bytes
// of an array in an unexported field, whatever methods its type has, and the
// address of a func.
type Key func(message []byte) []byte

// NewKey returns the key of a secret.
func NewKey(secret [SecretSize]byte) Key {
	// One that was used before has hashed the secret already.
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, secret[:]) }}
	return func(message []byte) []byte {
		h := macs.Get().(hash.Hash)
		defer macs.Put(h)
		h.Reset()
		h.Write(message)
		return h.Sum(nil)
	}
}

// sum returns the HMAC of a message that says what it is for. Each field stands
// behind its length, so that no two messages are the same bytes.
func (k Key) sum(use string, s Scope, body []byte) []byte {
	message := make([]byte, 0, 256)
	for _, field := range [...]string{use, s.Purpose, s.Table} {
		message = binary.BigEndian.AppendUint64(message, uint64(len(field)))
		message = append(message, field...)
	}
	return k(append(message, body...))
}

// tag returns the tag for the 45 bytes of a nonce, whose own tag it does not read.
func (k Key) tag(s Scope, b []byte) []byte {
	return k.sum(string([]byte{version}), s, b[issuedAt:tagAt])[:size-tagAt]
}

// ID returns 8 characters that tell keys apart, for people, and tell nothing of
// the secret.
func (k Key) ID() string {
	return base64.RawURLEncoding.EncodeToString(k.fingerprint()[:6])
}

// Equal reports whether both keys have the same secret.
func (k Key) Equal(other Key) bool {
	return hmac.Equal(k.fingerprint(), other.fingerprint())
}

func (k Key) fingerprint() []byte { return k.sum("id", Scope{}, nil) }
