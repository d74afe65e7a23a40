package dpophttp

import (
	"io"
	"net/http"
	"strings"
)

// headers are what a Guard wants of a response.
type headers struct {
	nonce   string // "" for none
	exposed []string
}

// set brings them into a response whose header is about to be written, and
// leaves there what others put beside them.
func (h headers) set(header http.Header) {
	if h.nonce != "" {
		for name := range header { // one, however it is spelled (RFC 9449 section 8)
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
// before all that may write the header, so that no later handler undoes them.
// Whether it was written is not for it to tell: a copy may fail before the
// first byte, and an outer writer may hold everything back to the end.
type writer struct {
	http.ResponseWriter
	headers headers
}

// serveWith calls next. The headers are there from the start, too, for who
// unwraps the writer, and in the end, for who wrote nothing or panicked: the
// nonce is spent in any case.
func serveWith(h headers, w http.ResponseWriter, r *http.Request, next http.Handler) {
	h.set(w.Header())
	defer func() { h.set(w.Header()) }()
	next.ServeHTTP(&writer{w, h}, r)
}

func (w *writer) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // informational: the header is still to come
		return
	}
	w.headers.set(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.headers.set(w.Header())
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets a file be sent the short way.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	w.headers.set(w.Header())
	return io.Copy(w.ResponseWriter, r)
}

// Flush is the one of [http.Flusher].
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what [http.ResponseController] calls.
func (w *writer) FlushError() error {
	w.headers.set(w.Header())
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap gives [http.ResponseController] the writer that the Guard was given.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
