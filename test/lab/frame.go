// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"sync"
)

// portName is the virtio-serial port between the lab and the agent in a VM.
const portName = "unitc-lab"

// frame is one line of JSON from the agent.
type frame struct {
	// Boot is sent first in each boot, counted from 1.
	Boot int `json:"boot,omitempty"`
	// Stream is 1 or 2, and Data a piece of what the command wrote there.
	Stream int    `json:"stream,omitempty"`
	Data   []byte `json:"data,omitempty"`
	// Done ends a boot; Again says that another one follows.
	Done  bool `json:"done,omitempty"`
	Again bool `json:"again,omitempty"`
	// Kernel is what the next boot's kernel is told beside the usual.
	Kernel string `json:"kernel,omitempty"`
	Exit   int    `json:"exit,omitempty"`
	// Fault is what kept the agent from running the command.
	Fault string `json:"fault,omitempty"`
}

// port writes frames from several streams.
type port struct {
	mu sync.Mutex
	w  io.Writer
}

func (p *port) send(f frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.w.Write(append(b, '\n'))
	return err
}

// stream is an io.Writer that sends what it is given.
type stream struct {
	port   *port
	number int
}

func (s stream) Write(b []byte) (int, error) {
	if err := s.port.send(frame{Stream: s.number, Data: b}); err != nil {
		return 0, err
	}
	return len(b), nil
}

// receive passes frames to handle until that returns false. A line that is no
// frame was cut by a reset.
func receive(r io.Reader, handle func(frame) bool) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		var f frame
		if json.Unmarshal(line, &f) == nil && !handle(f) {
			return nil
		}
	}
}
