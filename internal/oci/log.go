// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// logger writes errors where engines look for them: to a file, whose last
// record they show to their users, and to standard error.
type logger struct {
	path string
	json bool
}

func (l logger) error(err error) { l.record("error", err.Error()) }

func (l logger) warn(format string, a ...any) { l.record("warning", fmt.Sprintf(format, a...)) }

func (l logger) record(level, message string) {
	now := time.Now().Format(time.RFC3339)
	line := fmt.Sprintf("time=%q level=%s msg=%q\n", now, level, message)
	if l.json {
		b, err := json.Marshal(struct {
			Level string `json:"level"`
			Msg   string `json:"msg"`
			Time  string `json:"time"`
		}{level, message, now})
		if err == nil {
			line = string(b) + "\n"
		}
	}
	if l.path == "" {
		fmt.Fprint(os.Stderr, line)
		return
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o644)
	if err == nil {
		_, err = f.WriteString(line)
		f.Close()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "writing the log: %v\n", err)
	}
	if level == "error" {
		fmt.Fprintln(os.Stderr, message)
	}
}
