package dpophttp

import (
	"io"
	"net/http"
	"strings"
)

// headers are the headers that a Guard sets on a response.
type headers struct {
	nonce   string   // DPoP-Nonce; "" for none
	exposed []string // names for Access-Control-Expose-Headers
}

// set sets the headers, and keeps the exposed names that others have set.
func (h headers) set(header http.Header) {
	if h.nonce != "" {
		for name := range header { // in any spelling: at most one is allowed (RFC 9449 section 8)
			if strings.EqualFold(name, "DPoP-Nonce") {
				delete(header, name)
			}
		}
		header.Set("DPoP-Nonce", h.nonce)
		header.Set("Cache-Control", "no-store") // section 8.2
	}
	for _, name := range h.exposed {
		expose(header, name)
	}
}

// expose adds name to Access-Control-Expose-Headers.
func expose(header http.Header, name string) {
	const list = "Access-Control-Expose-Headers"
	all := strings.Join(header.Values(list), ", ")
	for _, exposed := range strings.Split(all, ",") {
		if strings.EqualFold(strings.TrimSpace(exposed), name) {
			return
		}
	}
	if strings.TrimSpace(all) != "" {
		name = all + ", " + name
	}
	header.Set(list, name)
}

// writer is the ResponseWriter of a request that passed. It sets its headers
// again before each call that may write the response header, so that no handler
// can remove them. It cannot know whether the header was written: a copy may
// fail before the first byte, and an outer writer may buffer the response.
type writer struct {
	http.ResponseWriter
	headers headers
}

// serveWith calls next. It sets the headers before, for handlers that unwrap the
// writer, and after, for handlers that write nothing or panic: the nonce is
// spent in any case.
func serveWith(h headers, w http.ResponseWriter, r *http.Request, next http.Handler) {
	h.set(w.Header())
	defer func() { h.set(w.Header()) }()
	next.ServeHTTP(&writer{w, h}, r)
}

func (w *writer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // informational: the header follows later
		return
	}
	w.headers.set(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.headers.set(w.Header())
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps sendfile for handlers that copy a file.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.headers.set(w.Header())
	return io.Copy(w.ResponseWriter, r)
}

// Flush implements [http.Flusher].
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what [http.ResponseController] calls.
func (w *writer) FlushError() error {
	w.headers.set(w.Header())
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap returns the underlying writer, for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
