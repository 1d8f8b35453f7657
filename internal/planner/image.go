// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"maps"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/signals"
)

// imageConfig is what a container takes from its image beside the process.
func (b *builder) imageConfig() error {
	b.annotations()
	if b.f.Image == nil || b.s.StopSignal != "" || b.f.Image.StopSignal == "" {
		return nil
	}
	return b.stopSignal(b.f.Image.StopSignal)
}

// annotations are the image's labels (OCI image-spec, conversion.md), the
// definition's labels and its annotations.
func (b *builder) annotations() {
	notes := maps.Clone(b.spec.Annotations) // a bundle's
	if notes == nil {
		notes = map[string]string{}
	}
	if b.f.Image != nil {
		maps.Copy(notes, b.f.Image.Labels)
	}
	for _, kv := range b.s.Labels {
		notes[kv.Key] = kv.Value
	}
	for _, kv := range b.s.Annotations {
		notes[kv.Key] = kv.Value
	}
	if len(notes) > 0 {
		b.spec.Annotations = notes
	}
}

// stopSignal obeys the image's. The unit's KillSignal= was written before the
// image was known, and systemd lets nobody change it while the unit is loaded;
// so an init stands in front of the payload and passes another signal on. Where
// there can be none the definition has to say it.
func (b *builder) stopSignal(word string) error {
	name, known := signals.Name(word)
	number, _ := signals.Number(name)
	switch {
	case !known:
		return &KeyError{"image", fmt.Sprintf("the image asks for the stop signal %q, which is none", word), "write `stop_signal: SIGTERM`"}
	case unix.Signal(number) == unix.SIGTERM:
		return nil
	case number >= len(signals.Names):
		// An init system, which has to be the first process itself.
		return &KeyError{"image", "the image is stopped by " + name, "write `stop_signal: " + name + "`"}
	case b.s.Runtime != "":
		return &KeyError{"image", "the image is stopped by " + name + ", which another runtime cannot be told", "write `stop_signal: " + name + "`"}
	}
	b.plan.Init, b.plan.StopSignal = true, number
	return nil
}
