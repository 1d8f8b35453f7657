// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"sync"
)

// console keeps what the VM's kernel and systemd say, to be shown if things go
// wrong, and looks out for the worst of it.
type console struct {
	mu  sync.Mutex
	buf []byte
	// panics is closed by the first kernel panic.
	panics chan struct{}
	once   sync.Once
}

const consoleMax = 1 << 20

func newConsole() *console { return &console{panics: make(chan struct{})} }

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buf = append(c.buf, b...)
	if len(c.buf) > consoleMax {
		c.buf = append([]byte(nil), c.buf[len(c.buf)-consoleMax/2:]...)
	}
	if bytes.Contains(c.buf[max(0, len(c.buf)-len(b)-32):], []byte("Kernel panic - ")) {
		c.once.Do(func() { close(c.panics) })
	}
	return len(b), nil
}

// tail returns the last n lines.
func (c *console) tail(n int) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(c.buf), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
