// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/net/websocket"
)

// protocol of Kubernetes' streams over a WebSocket: the first byte of a frame
// names the stream, and the last one carries a status.
const protocol = "v4.channel.k8s.io"

const (
	stdin, stdout, stderr, status = 0, 1, 2, 3
)

// stream copies the streams of a process in a container to ours, and gives its
// exit status.
func stream(url string, in io.Reader) (int, error) {
	config, err := websocket.NewConfig("ws"+strings.TrimPrefix(url, "http"), "http://localhost")
	if err != nil {
		return 1, err
	}
	config.Protocol = []string{protocol}
	ws, err := websocket.DialConfig(config)
	if err != nil {
		return 1, err
	}
	defer ws.Close()
	if in != nil {
		go copyIn(ws, in)
	}
	for {
		var frame []byte
		if err := websocket.Message.Receive(ws, &frame); err != nil {
			return 1, fmt.Errorf("the stream ends without a status: %w", err)
		}
		if len(frame) == 0 {
			continue
		}
		switch text := frame[1:]; frame[0] {
		case stdout:
			os.Stdout.Write(text)
		case stderr:
			os.Stderr.Write(text)
		case status:
			if len(text) > 0 {
				return exitCode(text)
			}
		}
	}
}

func copyIn(ws *websocket.Conn, in io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf[1:])
		if n > 0 {
			buf[0] = stdin
			if websocket.Message.Send(ws, buf[:n+1]) != nil {
				return
			}
		}
		if err != nil {
			return // protocol 4 cannot tell the end of input
		}
	}
}

// exitCode reads a metav1.Status.
func exitCode(text []byte) (int, error) {
	var s struct {
		Status, Message string
		Details         struct {
			Causes []struct{ Reason, Message string }
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return 1, fmt.Errorf("status %q: %w", text, err)
	}
	for _, cause := range s.Details.Causes {
		if cause.Reason == "ExitCode" {
			return strconv.Atoi(cause.Message)
		}
	}
	if s.Status == "Success" {
		return 0, nil
	}
	return 1, errors.New(s.Message)
}
