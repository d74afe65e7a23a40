package recipes

import (
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// The application's part: the verification of a DPoP proof, with go-jose.

type proof struct {
	claims     claims
	thumbprint string // of its key (RFC 7638)
}

type claims struct {
	JTI   string     `json:"jti"`
	HTM   string     `json:"htm"`
	HTU   string     `json:"htu"`
	IAT   *float64   `json:"iat"` // the nonce says how old a proof is at most
	ATH   string     `json:"ath"`
	Nonce nonceClaim `json:"nonce"` // the Guard judges it
}

// A nonceClaim is a string if it is present. null is not a string.
type nonceClaim struct {
	text    string
	present bool
}

func (n *nonceClaim) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		return errors.New("the nonce is not a string")
	}
	n.present = true
	return json.Unmarshal(b, &n.text)
}

// verifyProof runs the checks of RFC 9449 section 4.3, but for those of the nonce
// and of iat. The token is empty at a token endpoint.
func verifyProof(dpop []string, method, origin, path, token string) (proof, error) {
	if len(dpop) != 1 || len(dpop[0]) > 16<<10 {
		return proof{}, fmt.Errorf("%d DPoP headers, or one that is too long", len(dpop))
	}
	jws, err := jose.ParseSignedCompact(dpop[0], []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA})
	if err != nil {
		return proof{}, err
	}
	header := jws.Signatures[0].Protected
	key := header.JSONWebKey
	_, crit := header.ExtraHeaders["crit"]
	_, b64 := header.ExtraHeaders["b64"]
	if header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" || crit || b64 || key == nil || !key.Valid() || !key.IsPublic() {
		return proof{}, errors.New("typ, crit, b64 or jwk is not a proof's")
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return proof{}, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil { // go-jose's: names match exactly, and once
		return proof{}, err
	}
	sum := sha256.Sum256([]byte(token))
	ath := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case c.JTI == "" || c.IAT == nil || *c.IAT < 0 || *c.IAT > 1e11:
		return proof{}, errors.New("no jti, or no iat")
	case c.HTM != method || !sameURL(c.HTU, origin, path):
		return proof{}, errors.New("htm or htu is of another request")
	case token != "" && subtle.ConstantTimeCompare([]byte(c.ATH), []byte(ath)) != 1:
		return proof{}, errors.New("ath is of another token")
	}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	return proof{c, base64.RawURLEncoding.EncodeToString(thumbprint)}, err
}

// sameURL compares an htu with a request's URL, without query and fragment.
func sameURL(htu, origin, path string) bool {
	u, err := url.Parse(htu)
	return err == nil && u.User == nil && strings.EqualFold(u.Scheme+"://"+u.Host, origin) && cmp.Or(u.EscapedPath(), "/") == path
}
