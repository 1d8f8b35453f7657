// SPDX-License-Identifier: Apache-2.0

package condition

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"testing"
)

func TestCheck(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := closed.Addr().String()
	closed.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	file := t.TempDir() + "/a:b"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for text, holds := range map[string]bool{
		"dns:localhost":           true,
		"dns:no.such.invalid":     false,
		"tcp:" + gone:             false,
		"tcp:localhost:" + port:   true,
		"tcp:127.0.0.1:" + port:   true,
		"address:127.0.0.1":       true,
		"address:192.0.2.1":       false, // RFC 5737: nobody's
		"path:" + file:            true,
		"path:" + file + "/never": false,
	} {
		if err := Check(t.Context(), text); (err == nil) != holds {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "dns", "udp:localhost:53", "/path"} {
		var unknown *UnknownError
		if err := Await(t.Context(), text, nil); !errors.As(err, &unknown) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The reason is told once as long as it stays the same.
func TestAwait(t *testing.T) {
	path := t.TempDir() + "/file"
	looks, told := 0, []string(nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Await(ctx, "path:"+path, func(err error) {
		looks++
		told = append(told, err.Error())
		if err := os.WriteFile(path, []byte(strconv.Itoa(looks)), 0o600); err != nil {
			t.Error(err)
		}
	})
	if err != nil || len(told) != 1 {
		t.Errorf("%v, told %q", err, told)
	}
	cancel()
	if err := Await(ctx, "path:/no/such/file", func(error) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
