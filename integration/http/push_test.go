package http

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// push sends the style sheet of a page first.
func push(t *testing.T, want error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pusher, ok := w.(http.Pusher)
		if r.URL.Path != "/" || !ok {
			return
		}
		if err := pusher.Push("/style.css", nil); !errors.Is(err, want) {
			t.Error(err)
		}
	})
}

func TestPushReachesClient(t *testing.T) {
	onEachSite(t, push(t, nil), func(t *testing.T, s site) {
		if got := s.pushed(t); got != "/style.css" {
			t.Fatalf("%q", got)
		}
	}, 2)
}

// The client of net/http takes no pushes, and HTTP/1.1 has none.
func TestPushWithoutSupportFails(t *testing.T) {
	onEachSite(t, push(t, http.ErrNotSupported), func(t *testing.T, s site) { s.get(t, t.Context(), "/") })
}

// pushed requests / with a client that takes pushes, and returns the path of the
// first.
func (s site) pushed(t *testing.T) (path string) {
	t.Helper()
	settings := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	settings.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", s.Listener.Addr().String(), settings)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var header bytes.Buffer
	encoder := hpack.NewEncoder(&header)
	for _, field := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":authority", "example.com"}, {":path", "/"}, {"claim", s.claim(t)},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	err = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header.Bytes(), EndStream: true, EndHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.PushPromiseFrame:
			fields, err := hpack.NewDecoder(4096, nil).DecodeFull(frame.HeaderBlockFragment())
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range fields {
				if field.Name == ":path" {
					return field.Value
				}
			}
		case *http2.MetaHeadersFrame:
			return ""
		}
	}
}
