// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"path"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

var volumesShape = shape{kinds: list, last: true, identity: identifyTarget, item: &shape{kinds: text | mapping, format: &volumeFormat, keys: []field{
	{name: "bind", doc: "Options of a bind mount.", example: "{propagation: rslave}", shape: &shape{kinds: mapping, keys: []field{
		{name: "create_host_path", shape: &boolShape, example: "false", doc: "Make the host's directory if it is missing (the default, but for a name that ends in .sock)."},
		{name: "propagation", shape: &shape{kinds: text, words: propagations}, example: "rslave", doc: "How mounts below it travel between host and container."},
		{name: "recursive", shape: &shape{kinds: text, words: []string{"enabled", "disabled", "writable", "readonly"}}, example: "disabled", doc: "Whether mounts below the source come along."},
		{name: "selinux", shape: &shape{kinds: text, words: []string{"z", "Z"}}, example: "Z", doc: "Relabel the source: z shared, Z private."},
	}}},
	{name: "consistency", shape: &stringShape, example: "cached", doc: "Accepted and ignored, as on every Linux engine."},
	{name: "image", doc: "Options of an image mount.", example: "{subpath: /static}", shape: &shape{kinds: mapping, keys: []field{
		{name: "subpath", shape: &stringShape, example: "/static", doc: "A path inside the image."},
	}}},
	{name: "read_only", shape: &boolShape, example: "true", doc: "Mount read-only."},
	{name: "source", shape: &hostPathShape, example: "/srv/data", doc: "The host's directory, the volume's name, or the image."},
	{name: "target", shape: &targetShape, example: "/data", required: true, doc: "The absolute path inside the container."},
	{name: "tmpfs", doc: "Options of a tmpfs.", example: "{size: 16m}", shape: &shape{kinds: mapping, keys: []field{
		{name: "mode", shape: &shape{kinds: number | text, format: &modeFormat}, example: "0o1777", doc: "The directory's permissions, in octal."},
		{name: "size", shape: &bytesShape, example: "16m", doc: "The most that it may hold."},
	}}},
	{name: "type", shape: &shape{kinds: text, format: &mountTypeFormat}, example: "bind", required: true, doc: "bind, volume, tmpfs or image."},
	{name: "volume", doc: "Options of a named volume.", example: "{nocopy: true}", shape: &shape{kinds: mapping, keys: []field{
		{name: "labels", shape: &pairsShape, example: "{tier: data}", doc: "Labels of an anonymous volume."},
		{name: "nocopy", shape: &boolShape, example: "true", doc: "Leave a new volume empty instead of filling it from the image."},
		{name: "subpath", shape: &stringShape, example: "web", doc: "A path inside the volume."},
	}}},
}}}

var mountTypeFormat = format{
	name:    "mount-type",
	pattern: `^(bind|volume|tmpfs|image)$`,
	check: func(s string) (string, string) {
		switch s {
		case definition.VolumeBind, definition.VolumeNamed, definition.VolumeTmpfs, definition.VolumeImage:
			return "", ""
		case "cluster", "npipe":
			return unsupported + "mounts of type " + s, "write bind, volume, tmpfs or image"
		}
		cure := "write bind, volume, tmpfs or image"
		if near := nearest(s, []string{definition.VolumeBind, definition.VolumeNamed, definition.VolumeTmpfs, definition.VolumeImage}); near != "" {
			cure = "did you mean " + near + "?"
		}
		return quote(s) + " is no type of mount", cure
	},
}

var propagations = []string{"rprivate", "private", "rslave", "slave", "rshared", "shared"}

func decodeVolumes(r *reader, s *definition.Service, n *node) {
	s.Volumes = append(take(&r.memory.volumes, len(s.Volumes)+len(n.items)), s.Volumes...)
	for _, item := range n.items {
		v, ok := definition.Volume{}, false
		if item.kind == text {
			v, ok = r.shortVolume(item)
		} else {
			v, ok = r.longVolume(item)
		}
		if ok && v.Type == definition.VolumeNamed {
			ok = r.nameVolume(item, &v)
		}
		if ok {
			r.addVolume(s, item, v)
		}
	}
}

// nameVolume gives a project's volume its own name, and what the project says
// of it: the helper reads the service alone.
func (r *reader) nameVolume(n *node, v *definition.Volume) bool {
	if v.Source == "" || r.services() == nil {
		return true
	}
	key := v.Source
	declared := r.root.get("volumes").get(key)
	v.Source = r.ownName(declared, key)
	if p := findPair(r.root.get("volumes"), key); p != nil && !p.value.bad && len(p.value.pairs) > 0 {
		d := r.namedVolume(p, definition.Position{})
		v.Declared = &d
	}
	return r.declared(n, "volumes", key)
}

// shortVolume reads TARGET, SOURCE:TARGET or SOURCE:TARGET:OPTIONS.
func (r *reader) shortVolume(n *node) (definition.Volume, bool) {
	parts := strings.SplitN(n.text, ":", 3)
	if isWindows(n.text) && (n.text[2] != '/' || len(parts) > 2 && strings.HasPrefix(parts[2], "/")) { // v:/data is a volume
		r.faultWindows(n, n.text)
		return definition.Volume{}, false
	}
	if len(parts) == 1 {
		target := r.cleanTarget(n, parts[0])
		return definition.Volume{Type: definition.VolumeNamed, Target: target}, target != ""
	}
	v, ok := r.volumeSource(n, parts[0])
	if !ok {
		return v, false
	}
	if v.Target = r.volumeTarget(n, parts[1], v.Type == definition.VolumeBind, v.Source); v.Target == "" {
		return v, false
	}
	if v.Type == definition.VolumeBind {
		r.warnEngine(n, v)
	}
	if len(parts) == 3 {
		for option := range strings.SplitSeq(parts[2], ",") {
			if ok = r.volumeOption(n, &v, option); !ok {
				break
			}
		}
	}
	return v, ok
}

// volumeSource tells a path from a volume's name as Compose does: by its first
// character.
func (r *reader) volumeSource(n *node, source string) (definition.Volume, bool) {
	if source == "" {
		r.fault(n, "write for example /srv/data:/data", "the source of the volume is missing")
		return definition.Volume{}, false
	}
	if strings.ContainsRune("/.~", rune(source[0])) {
		host := r.hostPath(n, source)
		return definition.Volume{Type: definition.VolumeBind, Source: host, CreateHostPath: !isSocket(host)}, host != ""
	}
	if what, cure := volumeNameFormat.check(source); what != "" {
		r.fault(n, cure, "%s", what)
		return definition.Volume{}, false
	}
	return definition.Volume{Type: definition.VolumeNamed, Source: source}, true
}

var volumeNameFormat = format{
	name:    "volume",
	pattern: `^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`,
	check: func(s string) (string, string) {
		if strings.Contains(s, "/") {
			return quote(s) + " is neither a path nor a volume's name", "write ./" + shorten(s) + " for a path beside the definition"
		}
		if !isPlainName(s) {
			return quote(s) + " is no name of a volume", "use letters, digits, _ . and -"
		}
		return "", ""
	},
}

// isPlainName is Compose's rule for names of volumes, networks and the like.
func isPlainName(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("_.-%", c)) {
			return false
		}
	}
	return s != "" && len(s) <= 255
}

// volumeOptions are the words of the short form. Those of consistency are
// Docker Desktop's and change nothing on Linux.
var volumeOptions = []string{
	"ro", "rw", "z", "Z", "nocopy", "nosuid", "nodev", "noexec", "idmap", "noidmap",
	"rprivate", "private", "rslave", "slave", "rshared", "shared", "cached", "delegated", "consistent",
}

func (r *reader) volumeOption(n *node, v *definition.Volume, option string) bool {
	yes, no := true, false
	switch option {
	case "ro":
		v.ReadOnly = true
	case "rw":
		v.ReadOnly = false
	case "z", "Z":
		v.SELinux = option
	case "nocopy", "volume-nocopy":
		v.NoCopy = true
	case "nosuid":
		v.NoSuid = true
	case "nodev":
		v.NoDev = true
	case "noexec":
		v.NoExec = true
	case "idmap":
		v.IDMap = &yes
	case "noidmap":
		v.IDMap = &no
	case "cached", "delegated", "consistent", "":
	default:
		if contains(propagations, option) {
			v.Propagation = option
			break
		}
		cure := "write some of " + strings.Join(volumeOptions[:10], ", ")
		if mode, label := option[:min(len(option), 2)], option[min(len(option), 2):]; (mode == "ro" || mode == "rw") && contains([]string{"z", "Z"}, label) {
			r.warn(n, "write "+mode+","+label, "%s is taken for %s,%s; Compose passes over it, and the volume can be written to", quote(option), mode, label)
			v.ReadOnly, v.SELinux = mode == "ro", label
			break
		}
		if near := nearest(option, volumeOptions); near != "" {
			cure = "did you mean " + near + "?"
		}
		r.fault(n, cure, "%s is no option of a volume", quote(option))
		return false
	}
	return true
}

// longVolume reads the mapping form, whose shape was checked.
func (r *reader) longVolume(n *node) (definition.Volume, bool) {
	v := definition.Volume{Type: n.get("type").str(), ReadOnly: n.get("read_only") != nil && n.get("read_only").truth()}
	if v.Target = r.volumeTarget(n.get("target"), n.get("target").str(), v.Type == definition.VolumeBind, n.get("source").str()); v.Target == "" {
		return v, false
	}
	source := n.get("source")
	for _, other := range []string{"bind", "volume", "tmpfs", "image"} {
		if options := n.get(other); options != nil && other != v.Type {
			r.fault(options, "remove it, or write type: "+other, "options of type %s on a mount of type %s", other, v.Type)
			return v, false
		}
	}
	switch v.Type {
	case definition.VolumeBind:
		return v, r.longBind(n, source, &v)
	case definition.VolumeNamed:
		return v, r.longNamed(n, source, &v)
	case definition.VolumeTmpfs:
		if source != nil {
			r.fault(source, "remove it", "a tmpfs has no source")
			return v, false
		}
		fillTmpfs(&v)
		options := n.get("tmpfs")
		v.Size, _ = ParseBytes(options.get("size").str())
		v.Mode = r.mode(options.get("mode"))
		return v, true
	case definition.VolumeImage:
		return v, r.longImage(n, source, &v)
	}
	return v, false // the format of type: refuses others
}

// longImage mounts what an image holds; nobody writes to an image.
func (r *reader) longImage(n, source *node, v *definition.Volume) bool {
	if source == nil {
		r.fault(n, "add source: with the name of the image", "an image mount without an image").Rule = diag.RuleConflict
		return false
	}
	if what, cure := imageFormat.check(source.text); what != "" {
		r.fault(source, cure, "%s", what).Rule = diag.RuleReference
		return false
	}
	if p := findPair(n, "read_only"); p != nil && !v.ReadOnly {
		r.fault(p.value, "remove it, or copy the files to a volume", "an image can't be written to").Rule = diag.RuleConflict
		return false
	}
	v.Source, v.ReadOnly = source.text, true
	if subpath := n.get("image").get("subpath"); subpath != nil && subpath.text != "" {
		if hasDotDot(subpath.text) {
			r.fault(subpath, "write the path without ..", "%s goes upwards", quote(subpath.text))
			return false
		}
		v.Subpath = strings.TrimPrefix(path.Clean("/"+subpath.text), "/")
	}
	return true
}

func (r *reader) longBind(n, source *node, v *definition.Volume) bool {
	if source == nil {
		r.fault(n, "add source:", "a bind mount without a source")
		return false
	}
	v.Source = r.hostPath(source, source.text)
	options := n.get("bind")
	v.CreateHostPath = !isSocket(v.Source)
	if create := options.get("create_host_path"); create != nil {
		v.CreateHostPath = create.truth()
	}
	r.warnEngine(n, *v)
	v.Propagation = options.get("propagation").str()
	v.SELinux = options.get("selinux").str()
	if v.Recursive = options.get("recursive").str(); v.Recursive == "enabled" {
		v.Recursive = ""
	}
	return v.Source != ""
}

func (r *reader) longNamed(n, source *node, v *definition.Volume) bool {
	if source != nil {
		if what, cure := volumeNameFormat.check(source.text); what != "" {
			r.fault(source, cure, "%s", what)
			return false
		}
		v.Source = source.text
	}
	options := n.get("volume")
	if labels := r.optionalPairs(options.get("labels")); labels != nil && source == nil {
		v.Declared = &definition.NamedVolume{Labels: labels}
	}
	v.NoCopy = options.get("nocopy") != nil && options.get("nocopy").truth()
	if subpath := options.get("subpath"); subpath != nil {
		if path.IsAbs(subpath.text) || hasDotDot(subpath.text) {
			r.fault(subpath, "write a relative path without ..", "%s leaves the volume", quote(subpath.text))
			return false
		}
		v.Subpath = path.Clean(subpath.text)
	}
	return true
}
