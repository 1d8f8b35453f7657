// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/relay/endpoint"
)

// authority is one that has signed nothing.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// A certificate counts only where an authority is named; then the name counts too.
func TestCheck(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			<-r.Context().Done()
		}
		if r.URL.Path != "/well" {
			w.WriteHeader(503)
		}
	}))
	defer s.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	other := authority(t)
	for _, c := range []struct {
		path, name string
		ca         []byte
		want       string
	}{
		{"/well", "", nil, ""},
		{"/", "", nil, "http 503 on /"},
		{"/well", "", ca, ""}, // 127.0.0.1 is in it
		{"/well", "example.com", ca, ""},
		{"/well", "other.example", ca, "not other.example"},
		{"/well", "", other, "certificate signed by unknown authority"},
		{"/well", "", []byte("no certificate"), "has no certificate in PEM"},
		{"/late", "", nil, "no answer in 300ms"},
	} {
		e, ok := endpoint.Parse(s.URL + c.path)
		if !ok {
			t.Fatal(s.URL)
		}
		config, err := configuration(&e, c.name, c.ca)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			span := time.Minute
			if c.path == "/late" {
				span = 300 * time.Millisecond
			}
			got = check(&e, config, span)
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.path+" "+c.name, got)
		}
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	e, _ := endpoint.Parse(strings.Replace(plain.URL, "http:", "https:", 1))
	config, _ := configuration(&e, "", nil)
	if got := check(&e, config, time.Minute); !strings.Contains(got, "does not look like a TLS handshake") {
		t.Errorf("without TLS: %q", got)
	}
	plain.Close()
	if got := check(&e, config, time.Minute); !strings.HasSuffix(got, "connection refused") || strings.Count(got, "127.0.0.1") != 1 {
		t.Errorf("without anybody: %q", got)
	}
}
