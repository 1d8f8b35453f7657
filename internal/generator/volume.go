// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/unitfile"
)

// volumeDependencies shows which volumes a service has. A volume that is a
// directory of the store needs nothing done before a start, so its unit is a
// target that is active while the volume is used: no process, and `systemctl
// list-dependencies --reverse` tells who uses it (G-17: one template for all).
// One with a file system of its own has a mount unit.
func (t *translation) volumeDependencies() {
	for _, name := range volumeNames(t.service) {
		if strings.HasSuffix(name, mountSuffix) {
			continue // RequiresMountsFor= has it
		}
		if t.isTemplate() {
			name = strings.ReplaceAll(name, "%%", "%")
		} else if unitfile.NameKind(name) != unitfile.Instance {
			continue // too long for a unit, which changes nothing
		}
		t.w.Set("Wants", name)
		t.w.Set("After", name)
	}
}

const mountSuffix = ".mount"

// volumeNames are the units of a service's named volumes.
func volumeNames(s *definition.Service) []string {
	var names []string
	for i := range s.Volumes {
		v := &s.Volumes[i]
		if v.Type != definition.VolumeNamed || v.Source == "" {
			continue
		}
		name := "unitc-volume@" + v.Source + targetSuffix
		if at := v.Declared.MountPoint(); at != "" {
			stem, err := unitfile.EscapePath(at)
			if err != nil {
				continue
			}
			name = stem + mountSuffix
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// volumeUnits are the mount units of a service's volumes.
func (t *translation) volumeUnits() []unit {
	var units []unit
	if t.broken {
		return nil
	}
	for i := range t.service.Volumes {
		d := t.service.Volumes[i].Declared
		at := d.MountPoint()
		if t.service.Volumes[i].Type != definition.VolumeNamed || at == "" || strings.Contains(at, "%") {
			continue
		}
		if u, ok := volumeMount(d, at, t.source); ok {
			units = append(units, u)
		}
	}
	return units
}

// volumeMount mounts what driver_opts name with mount(8), as Docker does with
// mount(2): in the host's network, and once for all containers. The mount is
// gone when nobody needs it.
func volumeMount(d *definition.NamedVolume, at, source string) (unit, bool) {
	stem, err := unitfile.EscapePath(at)
	if err != nil {
		return unit{}, false
	}
	what, options := mountSource(d)
	var w unitfile.Writer
	w.Comment(generatedFrom + source) // G-9
	w.Section("Unit")
	w.Set("Description", "Volume "+unitfile.EscapeSpecifiers(d.Name))
	if unitfile.Printable(source) == source {
		w.Set("SourcePath", unitfile.EscapeSpecifiers(source)) // G-10
	}
	w.Set("StopWhenUnneeded", "yes")
	w.Section("Mount")
	w.Set("What", unitfile.EscapeSpecifiers(what))
	w.Set("Where", unitfile.EscapeSpecifiers(at))
	w.Set("Type", unitfile.EscapeSpecifiers(d.Option("type")))
	if options != "" {
		w.Set("Options", unitfile.EscapeSpecifiers(options))
	}
	text, _ := w.Bytes()
	if len(w.Errors()) > 0 {
		return unit{}, false // the start says that there is no mount
	}
	return unit{name: stem + mountSuffix, text: text, shared: true}, true
}

// mountSource is device and o. For NFS Docker takes the server's address as an
// option, mount.nfs(8) in front of the path.
func mountSource(d *definition.NamedVolume) (what, options string) {
	what, options = d.Option("device"), d.Option("o")
	if what == "" {
		what = d.Option("type") // tmpfs
	}
	if !strings.HasPrefix(d.Option("type"), "nfs") || !strings.HasPrefix(what, ":") {
		return what, options
	}
	var rest []string
	for word := range strings.SplitSeq(options, ",") {
		address, found := strings.CutPrefix(word, "addr=")
		if !found {
			rest = append(rest, word)
			continue
		}
		if strings.Contains(address, ":") {
			address = "[" + address + "]"
		}
		what = address + what
	}
	return what, strings.Join(rest, ",")
}
