package dpopnonce

import (
	"crypto/rand"
	"encoding/base64"
	"errors"

	"github.com/attesto/dpopnonce/internal/seal"
)

// Key is a secret of 32 bytes, with which a [Sealer] makes its nonces and
// recognizes them. Nothing prints the secret: fmt with every verb, JSON and
// log/slog show the id of a Key or an address, also inside another value.
//
// Nodes that accept one another's nonces need the same key. Keep it where
// passwords are kept: anyone who learns it can make nonces. The zero Key is no
// key, and NewSealer refuses it.
type Key struct {
	seal seal.Key
}

// NewKey returns a random key, for tests and for servers of one process: after a
// restart, what it sealed is unknown. For more, run `openssl rand -base64 32` once
// and give the text to [ParseKey] on each node. It panics where the system has no
// randomness.
func NewKey() Key {
	var secret [seal.SecretSize]byte
	if _, err := rand.Read(secret[:]); err != nil {
		panic(err)
	}
	return Key{seal.NewKey(secret)}
}

// ParseKey returns the key of a text: 32 bytes of base64, standard or URL-safe,
// padded or not. Anything else is an error, which does not print the text: more
// or fewer bytes, both alphabets in one text, white space, a line end (trim it
// from what a file holds), and spare bits in the last character that are not 0.
func ParseKey(text string) (Key, error) {
	for _, encoding := range []*base64.Encoding{
		base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding,
	} {
		secret, err := encoding.DecodeString(text)
		// A decoder skips line ends and spare bits, so compare.
		if err == nil && len(secret) == seal.SecretSize && encoding.EncodeToString(secret) == text {
			return Key{seal.NewKey([seal.SecretSize]byte(secret))}, nil
		}
	}
	return Key{}, errors.New("dpopnonce: parse key: not 32 bytes of base64")
}

// String returns the key's id, 8 characters derived from the secret, by which
// people tell keys apart. It is the same on all nodes and reveals nothing.
func (k Key) String() string {
	if k.seal == nil {
		return "no key"
	}
	return "key " + k.seal.ID()
}

// MarshalText returns what String does, for JSON, log/slog and the like. There
// is no way back.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
