package recipes

import (
	"errors"
	"maps"
	"strings"

	"connectrpc.com/connect"
)

// ours reports whether a response with a nonce has this header once.
func ours(name string, _ []string) bool {
	return strings.EqualFold(name, "DPoP-Nonce") || strings.EqualFold(name, "Cache-Control")
}

// onlyOurs removes what is ours from the headers of a handler's response or error,
// which Connect adds to those of the call. An error may be one for many calls: it
// is copied, without what wraps it, which clients do not see.
func onlyOurs(response connect.AnyResponse, err error) (connect.AnyResponse, error) {
	if err == nil {
		maps.DeleteFunc(response.Header(), ours)
		return response, nil
	}
	var refusal *connect.Error
	if !errors.As(err, &refusal) || refusal == nil || connect.IsWireError(err) { // Connect sends no header of these
		return response, err
	}
	shared := *refusal // Meta may write to it
	meta := shared.Meta().Clone()
	maps.DeleteFunc(meta, ours)
	if len(meta) == len(shared.Meta()) {
		return response, err
	}
	copied := connect.NewError(refusal.Code(), refusal.Unwrap())
	for _, detail := range refusal.Details() {
		copied.AddDetail(detail)
	}
	maps.Copy(copied.Meta(), meta)
	return response, copied
}
