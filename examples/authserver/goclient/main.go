// Command goclient is a client that uses golang.org/x/oauth2 with a transport for
// DPoP. It does what the lines of its standard input say, each a JSON object with
// an id and "token" or "resource", all at once, and answers with a line for each.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

func main() {
	issuer := flag.String("issuer", "", "URL of the server")
	skew := flag.Duration("skew", 0, "how far the client's clock is ahead")
	flag.Parse()
	if err := run(*issuer, *skew, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "goclient:", err)
		os.Exit(1)
	}
}

type command struct {
	ID int    `json:"id"`
	Do string `json:"do"`
}

type answer struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`
}

func run(issuer string, skew time.Duration, in io.Reader, out io.Writer) error {
	dpop, err := newTransport(skew)
	if err != nil {
		return err
	}
	c := &client{issuer: issuer, dpop: dpop, token: &oauth2.Token{}}
	var running sync.WaitGroup
	var mu sync.Mutex
	defer running.Wait()
	answers := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var next command
		if err := json.Unmarshal(lines.Bytes(), &next); err != nil {
			return err
		}
		running.Go(func() {
			done := answer{ID: next.ID}
			if err := c.do(context.Background(), next.Do); err != nil {
				done.Error = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			_ = answers.Encode(done)
		})
	}
	return nil
}

// A client keeps its last token.
type client struct {
	issuer string
	dpop   *transport
	mu     sync.Mutex
	token  *oauth2.Token
}

func (c *client) do(ctx context.Context, what string) error {
	if what == "token" {
		token, err := (&clientcredentials.Config{
			ClientID: "demo", ClientSecret: "demo-secret", TokenURL: c.issuer + "/token", AuthStyle: oauth2.AuthStyleInHeader,
		}).Token(context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: c.dpop}))
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.token = token
		return nil
	}
	c.mu.Lock()
	tokens := oauth2.StaticTokenSource(c.token)
	c.mu.Unlock()
	resource := &http.Client{Transport: &oauth2.Transport{Source: tokens, Base: c.dpop}}
	request, err := http.NewRequestWithContext(ctx, "GET", c.issuer+"/resource", nil)
	if err != nil {
		return err
	}
	response, err := resource.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	return err
}
