package dpophttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
)

// writer is the ResponseWriter of a request that passed. It sets its headers
// again before each call that may write the response header, so that no handler
// can remove them. It cannot know whether the header was written: a copy may
// fail before the first byte, and an outer writer may buffer the response.
//
// It has the optional methods of net/http's own writers, because handlers assert
// them. Each does what the writer below does. What that one lacks fails with
// http.ErrNotSupported.
type writer struct {
	http.ResponseWriter
	headers  headers
	request  context.Context // for CloseNotify
	hijacked bool
}

// serveWith calls next. It sets the headers before, for handlers that unwrap the
// writer, and after, for handlers that write nothing or panic: the nonce is
// spent in any case.
func serveWith(h headers, w http.ResponseWriter, r *http.Request, next http.Handler) {
	h.set(w.Header())
	defer func() { h.set(w.Header()) }()
	next.ServeHTTP(&writer{ResponseWriter: w, headers: h, request: r.Context()}, r)
}

// Header sets the headers again once the connection is hijacked, for handlers
// that write them to it: httputil.ReverseProxy first adds those of its upstream.
func (w *writer) Header() http.Header {
	header := w.ResponseWriter.Header()
	if w.hijacked {
		w.headers.set(header)
	}
	return header
}

func (w *writer) WriteHeader(status int) {
	w.headers.set(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.headers.set(w.Header())
	return w.ResponseWriter.Write(p)
}

// WriteString implements [io.StringWriter].
func (w *writer) WriteString(s string) (int, error) {
	w.headers.set(w.Header())
	return io.WriteString(w.ResponseWriter, s)
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

// Hijack implements [http.Hijacker].
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = err == nil
	return conn, buffered, err
}

// Push implements [http.Pusher].
func (w *writer) Push(target string, opts *http.PushOptions) error {
	if pusher, ok := below[http.Pusher](w.ResponseWriter); ok {
		return pusher.Push(target, opts)
	}
	return http.ErrNotSupported
}

// CloseNotify implements http.CloseNotifier, which is deprecated and still
// asserted, for example by gin. Where the writer below has none, it reports the
// end of the request's context.
func (w *writer) CloseNotify() <-chan bool {
	if notifier, ok := below[interface{ CloseNotify() <-chan bool }](w.ResponseWriter); ok {
		return notifier.CloseNotify()
	}
	gone := make(chan bool, 1)
	context.AfterFunc(w.request, func() { gone <- true })
	return gone
}

// Unwrap returns the underlying writer, for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// below finds a T in w or in what it wraps, as http.ResponseController does.
func below[T any](w http.ResponseWriter) (T, bool) {
	for {
		if found, ok := w.(T); ok {
			return found, true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			var none T
			return none, false
		}
		w = wrapper.Unwrap()
	}
}
