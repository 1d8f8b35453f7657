// SPDX-License-Identifier: Apache-2.0

package image

import (
	"sync"
	"time"
)

// The kinds of events.
const (
	EventResolve = "resolve" // Text: what is asked of whom
	EventStart   = "start"   // a layer is begun: Digest, Total
	EventBytes   = "bytes"   // Current of Total bytes of the layer's blob are here
	EventWait    = "wait"    // another process is fetching this layer
	EventRetry   = "retry"   // Text: what broke; the download goes on
	EventExists  = "exists"  // the layer is in the store already
	EventDone    = "done"    // the layer is unpacked and safe
	EventWarning = "warning" // Text
	EventImage   = "image"   // the image is complete: Digest
)

// Event is one step of a pull or load, for a person or, as JSON, a program.
type Event struct {
	Kind    string `json:"event"`
	Image   string `json:"image,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Layer   int    `json:"layer,omitempty"` // from 1
	Layers  int    `json:"layers,omitempty"`
	Current int64  `json:"current,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Text    string `json:"text,omitempty"`
}

// reporter calls the listener one event at a time.
type reporter struct {
	mu    sync.Mutex
	f     func(Event)
	image string
}

func newReporter(f func(Event), image string) *reporter { return &reporter{f: f, image: image} }

func (r *reporter) send(e Event) {
	if r == nil || r.f == nil {
		return
	}
	e.Image = r.image
	r.mu.Lock()
	defer r.mu.Unlock()
	r.f(e)
}

// bytesEvery limits EventBytes: ten a second and layer are as many as anyone
// can see.
const bytesEvery = 100 * time.Millisecond
