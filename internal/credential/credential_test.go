// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"testing"
)

// serve answers one question and gives it.
func serve(t *testing.T, answer string) <-chan string {
	t.Helper()
	old := socket
	socket = t.TempDir() + "/socket"
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); socket = old })
	asked := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		question, _ := bufio.NewReader(conn).ReadString(0)
		asked <- question
		_, _ = conn.Write([]byte(answer))
	}()
	return asked
}

func TestDecrypt(t *testing.T) {
	asked := serve(t, `{"parameters":{"data":"aHVzaA=="}}`+"\x00")
	if got, err := Decrypt("token", []byte("YWJj\nZGVm\n")); err != nil || string(got) != "hush" {
		t.Errorf("%q, %v", got, err)
	}
	if got, want := <-asked, `{"method":"io.systemd.Credentials.Decrypt","parameters":{"blob":"YWJjZGVm","name":"token","scope":"user"}}`+"\x00"; got != want {
		t.Errorf("asked %q, want %q", got, want)
	}
	asked = serve(t, `{"parameters":{"data":""}}`+"\x00")
	if got, err := Decrypt("token", []byte("\x00\x01\xff")); err != nil || len(got) != 0 || !strings.Contains(<-asked, `"blob":"AAH/"`) {
		t.Errorf("of bytes: %q, %v", got, err)
	}
}

func TestDecryptRefused(t *testing.T) {
	for answer, want := range map[string]string{
		`{"error":"io.systemd.Credentials.NameMismatch","parameters":{}}` + "\x00": "with another name",
		`{"error":"io.systemd.System","parameters":{"errno":131}}` + "\x00":        "(io.systemd.System): the system's log says why",
		`{"error":"io.systemd.System","parameters":{"data":"x"}}` + "\x00":         "cannot decrypt it",
		"":                               "systemd's answer: EOF",
		"{}}\x00":                        "systemd's answer: ",
		strings.Repeat("x", maxReply+10): "systemd's answer: ",
	} {
		serve(t, answer)
		got, err := Decrypt("token", []byte("YWJj"))
		if err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%.40q gives %q, %v; want %q", answer, got, err, want)
		}
	}
	socket = t.TempDir() + "/none"
	if _, err := Decrypt("token", nil); !errors.Is(err, ErrNone) {
		t.Errorf("of an older systemd: %v", err)
	}
}
