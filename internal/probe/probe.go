// SPDX-License-Identifier: Apache-2.0

// Package probe makes one check over TLS. It runs as nobody: what a payload
// answers is parsed here, and nothing is done with it but that.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/relay/endpoint"
)

// authorities is the descriptor of the certificates that the payload's must come
// from; what is empty asks for none.
const authorities = 3

// maxAuthorities bounds what is read of them, in bytes.
const maxAuthorities = 1 << 20

// Run makes the check that args say: the URL, the time-out in nanoseconds, the
// name in the certificate ("" = the URL's host). It gives what has failed, "" =
// nothing.
func Run(args []string) string {
	if len(args) != 3 {
		return "this program is started by the relay alone"
	}
	span, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return "time-out: " + err.Error()
	}
	e, ok := endpoint.Parse(args[0])
	if !ok {
		return "no address: " + args[0]
	}
	file := os.NewFile(authorities, "authorities")
	pem, err := io.ReadAll(io.LimitReader(file, maxAuthorities))
	if err != nil {
		return "reading the certificates of `tls: ca:`: " + err.Error()
	}
	config, err := configuration(&e, args[2], pem)
	if err != nil {
		return err.Error()
	}
	return check(&e, config, time.Duration(span))
}

// configuration takes any certificate where no authority is named, as Kubernetes
// does: the check asks whether the payload is well, not who it is.
func configuration(e *endpoint.Endpoint, name string, pem []byte) (*tls.Config, error) {
	if name == "" {
		name = strings.Trim(e.Host, "[]")
		if host, _, err := net.SplitHostPort(e.Host); err == nil {
			name = host
		}
	}
	config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	if len(pem) == 0 {
		return config, nil
	}
	config.RootCAs, config.InsecureSkipVerify = x509.NewCertPool(), false
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file of `tls: ca:` has no certificate in PEM")
	}
	return config, nil
}

func check(e *endpoint.Endpoint, config *tls.Config, span time.Duration) string {
	ctx, cancel := context.WithTimeout(context.Background(), span)
	defer cancel()
	what := "https " + e.Host
	var first error
	for _, to := range e.Addresses {
		line, err := ask(ctx, e, config, to)
		if err == nil {
			return e.Verdict(line)
		}
		// The connection may know that time is up before the context does.
		if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Sprintf("%s: no answer in %v", what, span)
		}
		if first == nil {
			first = err
		}
	}
	return what + ": " + first.Error()
}

// ask gives the first line of the answer.
func ask(ctx context.Context, e *endpoint.Endpoint, config *tls.Config, to netip.AddrPort) (string, error) {
	d := tls.Dialer{Config: config}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			err = op.Err // the address is said already
		}
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, e.Request()); err != nil {
		return "", err
	}
	b := make([]byte, 0, endpoint.MaxAnswer)
	for len(b) < cap(b) {
		n, err := conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if line, _, whole := strings.Cut(string(b), "\n"); whole || errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return "", err
		}
	}
	return string(b), nil
}
