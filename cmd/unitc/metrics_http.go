// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/openmetrics"
)

// metricsTimeout bounds a client: systemd keeps a few at most (MaxConnections=).
const metricsTimeout = 20 * time.Second

// serveMetrics answers what comes over the one connection that is standard input.
func (a *app) serveMetrics(cmd *cobra.Command, words []string) error {
	conn, err := net.FileConn(os.Stdin)
	if err != nil {
		return usagef("metrics --http: standard input is no connection (%v); enable unitc-metrics.socket, which makes it one", err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "GET is what this answers", http.StatusMethodNotAllowed)
			return
		}
		var text bytes.Buffer
		if err := a.writeMetrics(cmd, words, &text); err != nil {
			a.complain(err)
			http.Error(w, "unitc could not look; its journal says why: journalctl -u 'unitc-metrics@*'", http.StatusInternalServerError)
			return
		}
		kind := openmetrics.OldContentType
		if strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text") {
			kind = openmetrics.ContentType
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
		_, _ = w.Write(text.Bytes()) // who has gone reads it no more
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", handler)
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<a href=\"/metrics\">metrics</a> of containers\n")
	})
	s := http.Server{Handler: mux, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout}
	s.SetKeepAlivesEnabled(false)
	once := &oneConn{conn: conn, ended: make(chan struct{})}
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			once.Close()
		}
	}
	if err := s.Serve(once); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// oneConn is a listener to which one client has come, and will no other.
type oneConn struct {
	conn  net.Conn
	ended chan struct{}
	close sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.ended
	return nil, io.EOF
}

func (l *oneConn) Close() error {
	l.close.Do(func() { close(l.ended) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }
