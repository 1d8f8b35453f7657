// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/csv"
	"regexp"
	"slices"
	"strings"
)

// volume takes [SOURCE:]TARGET[:OPTIONS].
func (d *def) volume(a arg) {
	parts := strings.SplitN(a.text, ":", 3)
	if len(parts) == 1 {
		d.add("volumes", a, a.text)
		return
	}
	source := parts[0]
	if strings.HasPrefix(source, ".") {
		source = d.absolute(source)
	}
	text := source + ":" + parts[1]
	if len(parts) == 3 {
		if options := d.volumeOptions(a, strings.Split(parts[2], ",")); len(options) > 0 {
			text += ":" + strings.Join(options, ",")
		}
	}
	d.add("volumes", a, text)
	d.moveVolume(a, source, source)
}

var (
	keptOptions = []string{"ro", "rw", "z", "Z", "nocopy", "nosuid", "nodev", "noexec", "idmap", "private", "rprivate", "slave", "rslave", "shared", "rshared"}
	// What a volume is without them.
	idleOptions = []string{"", "bind", "rbind", "copy", "exec", "dev", "suid", "cached", "delegated", "consistent"}
)

func (d *def) volumeOptions(a arg, given []string) (kept []string) {
	for _, option := range given {
		name, _, _ := strings.Cut(option, "=")
		switch {
		case name == "idmap":
			kept = append(kept, "idmap")
		case slices.Contains(keptOptions, option):
			kept = append(kept, option)
		case slices.Contains(idleOptions, option):
		case option == "U":
			d.changed(a, "a start changes no owners", "chown the source once, to the ids that the payload has inside")
		case option == "O":
			d.lost(a, "a layer over the source that is thrown away", "copy what is needed to a volume")
		default:
			d.lost(a, option+" of a volume", "")
		}
	}
	return kept
}

// volumeName is that of a volume: no path, and nothing that is filled in later.
var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// moveVolume says once of a named volume how its data gets here. theirs is what the
// other engine calls it.
func (d *def) moveVolume(a arg, theirs, ours string) {
	switch {
	case strings.HasSuffix(theirs, "docker.sock") || strings.HasSuffix(theirs, "podman.sock"):
		// Whoever reads the definition tells of it.
	case !volumeName.MatchString(theirs) || d.set.moved[ours]:
	case d.podman:
		d.set.moved[ours] = true
		d.move(a, "the data of the volume "+theirs, "podman volume export "+theirs+" | "+d.set.unitc("volume import")+ours+" -")
	default:
		d.set.moved[ours] = true
		d.move(a, "the data of the volume "+theirs, "docker run --rm -v "+theirs+":/v busybox tar -C /v -c . | "+d.set.unitc("volume import")+ours+" -")
	}
}

// tmpfs takes TARGET[:OPTIONS]; Podman's begins with what the image has there.
func (d *def) tmpfs(a arg) {
	target, text, _ := strings.Cut(a.text, ":")
	var options []string
	copies := d.podman
	for option := range strings.SplitSeq(text, ",") {
		name, _, _ := strings.Cut(option, "=")
		switch name {
		case "", "tmpcopyup", "rw", "private", "rprivate", "slave", "rslave", "shared", "rshared":
		case "notmpcopyup":
			copies = false
		case "nr_inodes", "U", "size":
			if name == "size" && !strings.HasSuffix(option, "%") {
				options = append(options, option)
				continue
			}
			d.lost(a, option+" of a tmpfs", "")
		default:
			options = append(options, option)
		}
	}
	if copies {
		options = append(options, "tmpcopyup")
	}
	if len(options) > 0 {
		target += ":" + strings.Join(options, ",")
	}
	d.add("tmpfs", a, target)
}

// mountOptions are TYPE's as written with --mount and Mount=.
type mountOptions struct {
	form, source, target string
	readOnly, writable   bool     // as it says itself
	others               []string // of a bind or a volume, in the words of volumes
	size, mode, subpath  string
}

func (d *def) readMount(a arg) (m mountOptions, ok bool) {
	m.form = "volume"
	tokens, err := csv.NewReader(strings.NewReader(a.text)).Read()
	if err != nil {
		d.lost(a, "not KEY=VALUE,…", "write volumes:")
		return m, false
	}
	for _, token := range tokens {
		key, value, given := strings.Cut(token, "=")
		on := !given || isTrue(value)
		switch strings.ToLower(key) {
		case "type":
			m.form = value
		case "source", "src":
			m.source = value
		case "target", "dst", "dest", "destination":
			m.target = value
		case "ro", "readonly":
			m.readOnly = on
		case "rw", "readwrite":
			m.readOnly, m.writable = !on, on
		case "tmpfs-size", "size":
			m.size = value
		case "tmpfs-mode":
			m.mode = value
		case "subpath", "volume-subpath", "image-subpath":
			m.subpath = value
		case "bind-propagation":
			m.others = append(m.others, value)
		case "relabel":
			m.others = append(m.others, map[string]string{"shared": "z", "private": "Z"}[value])
		case "volume-nocopy":
			m.others = append(m.others, "nocopy")
		case "u", "chown":
			if on {
				m.others = append(m.others, "U")
			}
		case "bind-nonrecursive":
			if on {
				d.lost(a, "mounts below the source come along", "write bind: {recursive: disabled}")
			}
		case "consistency", "tmpcopyup", "bind-create-src":
		default:
			m.others = append(m.others, token)
		}
	}
	return m, true
}

func (d *def) mount(a arg) {
	if m, ok := d.readMount(a); ok {
		d.mountOf(a, m)
	}
}

func (d *def) mountOf(a arg, m mountOptions) {
	switch m.form {
	case "bind", "volume":
		d.mountVolume(a, m)
	case "tmpfs", "ramfs":
		text := m.target
		var options []string
		for _, o := range []struct{ name, value string }{{"size", m.size}, {"mode", m.mode}} {
			if o.value != "" {
				options = append(options, o.name+"="+o.value)
			}
		}
		if options = append(options, m.others...); m.readOnly {
			options = append(options, "ro")
		}
		if len(options) > 0 {
			text += ":" + strings.Join(options, ",")
		}
		d.tmpfs(a.with(text))
	case "image":
		if m.writable {
			m.others = append(m.others, "rw")
		}
		if len(m.others) > 0 {
			d.lost(a, strings.Join(m.others, ", ")+": an image is read-only", "copy what is to be written to a volume")
		}
		pairs := []pair{{"type", scalarOf(a, "image")}, {"source", scalarOf(a, m.source)}, {"target", scalarOf(a, m.target)}}
		if m.subpath != "" {
			pairs = append(pairs, pair{"image", &node{kind: mapping, pairs: []pair{{"subpath", scalarOf(a, m.subpath)}}}})
		}
		d.addMapping("volumes", a, pairs...)
	case "devpts":
		d.same(a, "/dev/pts is there")
	default:
		d.lost(a, "mounts of type "+m.form, "write volumes: with bind, volume, tmpfs or image")
	}
}

func (d *def) mountVolume(a arg, m mountOptions) {
	options := m.others
	if m.readOnly {
		options = append(options, "ro")
	}
	if strings.HasPrefix(m.source, ".") {
		m.source = d.absolute(m.source)
	}
	if m.subpath == "" {
		text := m.target
		if m.source != "" {
			text = m.source + ":" + m.target + ":" + strings.Join(options, ",")
		}
		d.volume(a.with(strings.TrimSuffix(text, ":")))
		return
	}
	pairs := []pair{{"type", scalarOf(a, m.form)}, {"source", scalarOf(a, m.source)}, {"target", scalarOf(a, m.target)}}
	for _, option := range d.volumeOptions(a, options) {
		if option == "ro" {
			pairs = append(pairs, pair{"read_only", bareOf(a, "true")})
			continue
		}
		d.lost(a, option+" beside a subpath", "write the long form of volumes:")
	}
	d.addMapping("volumes", a, append(pairs, pair{"volume", &node{kind: mapping, pairs: []pair{{"subpath", scalarOf(a, m.subpath)}}}})...)
	d.moveVolume(a, m.source, m.source)
}
