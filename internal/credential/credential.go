// SPDX-License-Identifier: Apache-2.0

// Package credential has systemd decrypt credentials of a user's, which systemd 256 and
// later keep apart by user (io.systemd.Credentials, systemd-creds(1)). A user's systemd
// itself decrypts them for its units from 258 on alone, and asks there as well.
package credential

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// socket is systemd's, for everybody: it goes by who asks. Tests have another.
var socket = "/run/systemd/io.systemd.Credentials"

// ErrNone is a host whose systemd has no credentials of users.
var ErrNone = errors.New("systemd here keeps no secrets of users: it does from version 256 on, with systemd-creds.socket")

// Available tells whether there are credentials of users.
func Available() error {
	if st, err := os.Lstat(socket); err != nil || st.Mode()&os.ModeSocket == 0 {
		return ErrNone
	}
	return nil
}

// patience bounds what systemd does: a TPM takes seconds where many ask.
const patience = 30 * time.Second

// maxReply bounds its answer, in bytes: systemd has credentials of 1 MiB, as base64.
const maxReply = 2 << 20

// A RefusedError is an answer that is none.
type RefusedError struct {
	Name   string // io.systemd.Credentials.BadFormat
	reason string
}

func (e *RefusedError) Error() string { return e.reason }

// reasons are systemd's errors in words.
var reasons = map[string]string{
	"io.systemd.Credentials.BadFormat":            "it is no credential that systemd-creds has encrypted",
	"io.systemd.Credentials.NameMismatch":         "it was encrypted with another name",
	"io.systemd.Credentials.TimeMismatch":         "its time is over",
	"io.systemd.Credentials.BadScope":             "it was encrypted for the system or for another user",
	"io.systemd.Credentials.NoSuchUser":           "the system does not know this user",
	"io.systemd.Credentials.CantFindPCRSignature": "there is no signature for the TPM",
	"io.systemd.Credentials.NullKeyNotAllowed":    "it was encrypted without a key",
	"io.systemd.Credentials.KeyBelongsToOtherTPM": "its key is another machine's",
}

// Decrypt gives what was encrypted under a name for the user who runs this process, as
// systemd-creds encrypt --user writes it.
func Decrypt(name string, blob []byte) ([]byte, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	text := strings.Join(strings.Fields(string(blob)), "")
	if _, err := base64.StdEncoding.DecodeString(text); err != nil {
		text = base64.StdEncoding.EncodeToString(blob)
	}
	conn, err := dial()
	if err != nil {
		return nil, fmt.Errorf("asking systemd: %w", err)
	}
	defer conn.Close()
	request, err := json.Marshal(map[string]any{"method": "io.systemd.Credentials.Decrypt", "parameters": map[string]any{"name": name, "blob": text, "scope": "user"}})
	if err == nil {
		_, err = conn.Write(append(request, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("asking systemd: %w", err)
	}
	reply, err := bufio.NewReader(io.LimitReader(conn, maxReply)).ReadBytes(0)
	if err != nil {
		return nil, fmt.Errorf("systemd's answer: %w", err)
	}
	return parse(reply)
}

// dial connects; what is asked there ends in time.
func dial() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err == nil { // of connect(2)
		// With SO_SNDTIMEO a signal ends the wait for room (signal(7)).
		for err = unix.EINTR; errors.Is(err, unix.EINTR); {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
		}
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // for deadlines
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	conn := os.NewFile(uintptr(fd), socket)
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// parse reads the answer (https://varlink.org/Wire-Protocol).
func parse(reply []byte) ([]byte, error) {
	var answer struct {
		Error      string `json:"error"`
		Parameters struct {
			Data []byte `json:"data"`
		} `json:"parameters"`
	}
	err := json.Unmarshal(bytes.TrimSuffix(reply, []byte{0}), &answer)
	switch {
	case answer.Error != "":
		reason := reasons[answer.Error]
		if reason == "" {
			reason = fmt.Sprintf("systemd cannot decrypt it (%s): the system's log says why, at systemd-creds@*", answer.Error)
		}
		return nil, &RefusedError{answer.Error, reason}
	case err != nil:
		return nil, fmt.Errorf("systemd's answer: %w", err)
	}
	return answer.Parameters.Data, nil
}
