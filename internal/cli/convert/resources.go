// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"path/filepath"
	"runtime"
	"strings"
)

// volumeName is what a volume is called here: VolumeName=, or the file's name.
func (q *quadlet) volumeName() string {
	return cmp.Or(q.own().text("VolumeName"), q.stem())
}

// theirs is what Podman calls what it makes of a file.
func (q *quadlet) theirs(nameKey string) string {
	return cmp.Or(q.own().text(nameKey), "systemd-"+q.stem())
}

const createFirst = "the volume has to be made as it says before the first start"

// volumeKeys are those of podman-volume.unit(5). A container alone has no place for
// what they say: it is said where the volume is mounted, or once by hand.
var volumeKeys = []key{
	gone("ContainersConfModule", noModule, ""),
	{name: "Copy", read: once, do: silent, becomes: "`volumes` with *nocopy*"},
	{name: "Device", read: once, do: silent, becomes: "`volumes`: a path that is bound, a *tmpfs*; others: unitc volume create"},
	{name: "Driver", read: one, do: func(_ *quadlet, d *def, a arg) {
		if a.text != "local" && a.text != "image" {
			d.lost(a, "volumes of the driver "+a.text, "")
		}
	}, becomes: "nothing: *local*; *image*: `volumes: type: image`; others are lost"},
	gone("GID", createFirst, "chown its directory, which unitc volume inspect names"),
	gone("GlobalArgs", noModule, ""),
	gone("Group", createFirst, "chown its directory, which unitc volume inspect names"),
	{name: "Image", read: once, do: silent, becomes: "`volumes: type: image`"},
	gone("Label", "labels of a volume", "unitc volume create --label"),
	{name: "Options", read: once, do: silent, becomes: "as Device="},
	gone("PodmanArgs", "options of podman volume create", "unitc volume create -o"),
	needless("ServiceName", "a start makes the volume that is missing"),
	{name: "Type", read: once, do: silent, becomes: "as Device="},
	gone("UID", createFirst, "chown its directory, which unitc volume inspect names"),
	gone("User", createFirst, "chown its directory, which unitc volume inspect names"),
	{name: "VolumeName", read: once, do: silent, becomes: "the volume's name"},
}

func silent(*quadlet, *def, arg) {}

// volume reports what is lost of a .volume; there is no file to make of it.
func (q *quadlet) volume() {
	d := q.start(q.volumeName())
	q.each(volumeKeys)
	if q.isMade() {
		s := q.own()
		a, _ := s.last("Device")
		command := q.set.unitc("volume create") + shellWord(q.volumeName())
		for _, o := range []struct{ option, key string }{{"type", "Type"}, {"device", "Device"}, {"o", "Options"}} {
			if text := s.text(o.key); text != "" {
				command += " -o " + shellWord(o.option+"="+q.expand.specifiers(arg{text: text}))
			}
		}
		d.lost(a, "a file system that the volume is", "before the first start: "+command)
	}
	q.leftUnit("a volume has no unit that must be started: the first container makes it")
}

// isMade: the volume is a file system of its own, which no mount of a lone container says.
func (q *quadlet) isMade() bool {
	s := q.own()
	return s.text("Device") != "" && !q.isBound() && s.text("Type") != "tmpfs"
}

// isBound: the volume is a directory of the host's.
func (q *quadlet) isBound() bool {
	s := q.own()
	words := strings.Split(s.text("Options"), ",")
	for _, word := range words {
		if word == "bind" || word == "rbind" {
			return true
		}
	}
	return s.text("Type") == "bind" || s.text("Type") == "none" && strings.HasPrefix(s.text("Device"), "/")
}

// addVolume also takes the names of files.
func (q *quadlet) addVolume(d *def, a arg) {
	source, rest, ok := strings.Cut(a.text, ":")
	if strings.HasPrefix(source, ".") {
		source = q.absolute(source)
	}
	if !strings.HasSuffix(source, ".volume") || !ok {
		if ok {
			source += ":" + rest
		}
		d.volume(a.with(source))
		return
	}
	target, options, _ := strings.Cut(rest, ":")
	q.mountFile(d, a, source, target, strings.FieldsFunc(options, func(r rune) bool { return r == ',' }))
}

// mountFile mounts what a .volume says.
func (q *quadlet) mountFile(d *def, a arg, file, target string, options []string) {
	v := q.file(d, a, file)
	name, s := v.volumeName(), v.own()
	x := *q.expand
	device := x.value(arg{text: s.text("Device"), name: a.name, at: a.at})
	if copied, ok := s.last("Copy"); ok && !isTrue(copied.text) {
		options = append(options, "nocopy")
	}
	switch {
	case s.text("Driver") == "image":
		d.mountOf(a, mountOptions{form: "image", source: q.imageNamed(d, a, s.text("Image")), target: target})
	case s.text("Device") != "" && v.isBound():
		d.volume(a.with(strings.TrimSuffix(device+":"+target+":"+strings.Join(options, ","), ":")))
	case s.text("Type") == "tmpfs":
		d.tmpfs(a.with(strings.TrimSuffix(target+":"+strings.Join(append(options, s.text("Options")), ","), ":")))
	case strings.Contains(name, "%"):
		d.lost(a, "a volume whose name has a specifier", "write volumes: with its name")
	case strings.HasSuffix(name, "@"):
		q.nameVolume(d, a, name+"%i", v, target, options)
	default:
		q.nameVolume(d, a, name, v, target, options)
	}
}

func (q *quadlet) nameVolume(d *def, a arg, name string, v *quadlet, target string, options []string) {
	name = strings.ReplaceAll(name, "@", "-")
	text := name + ":" + target
	if kept := d.volumeOptions(a, options); len(kept) > 0 {
		text += ":" + strings.Join(kept, ",")
	}
	d.add("volumes", a, text)
	if !v.isMade() && !strings.Contains(name, "%") {
		d.moveVolume(a, v.theirs("VolumeName"), name)
	}
}

// mount also takes the names of files as sources.
func (q *quadlet) mount(d *def, a arg) {
	m, ok := d.readMount(a)
	if !ok {
		return
	}
	switch {
	case m.form == "volume" && strings.HasSuffix(m.source, ".volume") && m.subpath == "":
		if m.readOnly {
			m.others = append(m.others, "ro")
		}
		q.mountFile(d, a, m.source, m.target, m.others)
		return
	case m.form == "volume" && strings.HasSuffix(m.source, ".volume"):
		m.source = q.file(d, a, m.source).volumeName()
	case m.form == "image":
		if m.source = q.imageNamed(d, a, m.source); m.source == "" {
			return // the file is not there, or has none
		}
	case strings.HasPrefix(m.source, "."):
		m.source = q.absolute(m.source)
	}
	d.mountOf(a, m)
}

// imageNamed is what an .image fetches or a .build makes, or the name itself.
func (q *quadlet) imageNamed(d *def, a arg, name string) string {
	switch filepath.Ext(name) {
	case ".image":
		return q.file(d, a, name).own().text("Image")
	case ".build":
		return q.file(d, a, name).builtImage()
	}
	return name
}

// imageKeys are those of podman-image.unit(5).
var imageKeys = []key{
	gone("AllTags", "all tags of a repository", "unitc pull each"),
	{name: "Arch", read: once, do: silent, becomes: "`platform`"},
	{name: "AuthFile", read: one, do: func(_ *quadlet, d *def, a arg) { d.changed(a, noAuth, "copy it to /etc/unitc/auth.json") }, becomes: "nothing: credentials come from */etc/unitc/auth.json* and the usual places"},
	needless("CertDir", noAuth),
	gone("ContainersConfModule", noModule, ""),
	{name: "Creds", read: one, do: func(_ *quadlet, d *def, a arg) { d.lost(a, noAuth, "write them there by unitc login") }, becomes: "lost: credentials come from auth.json"},
	gone("DecryptionKey", "encrypted images", ""),
	gone("GlobalArgs", noModule, ""),
	{name: "Image", read: once, do: silent, becomes: "`image` of the containers"},
	{name: "ImageTag", read: one, do: func(_ *quadlet, d *def, a arg) {
		d.changed(a, "what uses the image names what is fetched", "")
	}, becomes: "nothing: containers name what Image= says"},
	{name: "OS", read: once, do: silent, becomes: "`platform`"},
	gone("PodmanArgs", "options of podman pull", ""),
	{name: "Policy", read: once, do: silent, becomes: "`pull_policy`"},
	needless("Retry", noRetry),
	needless("RetryDelay", noRetry),
	needless("ServiceName", "an image is fetched by a unit of its own before the container starts"),
	{name: "TLSVerify", read: one, do: registryWithoutTLS, becomes: "lost: *insecure = true* in registries.conf does it"},
	{name: "Variant", read: once, do: silent, becomes: "`platform`"},
}

// image reports what is lost of an .image; containers name what it fetches.
func (q *quadlet) image() {
	q.start(q.stem())
	q.each(imageKeys)
	q.leftUnit("the image is fetched by a unit of unitc's before a container starts")
}

// imageOf is Image= of a container, which may name a file.
func (q *quadlet) imageOf(d *def, a arg) {
	other := q.set.find(a.text)
	switch {
	case strings.HasSuffix(a.text, ".image") && other != nil:
		q.fetched(d, a, other)
	case strings.HasSuffix(a.text, ".build") && other != nil:
		q.built(d, a, other)
	case strings.HasSuffix(a.text, ".image") || strings.HasSuffix(a.text, ".build"):
		d.lacks(a)
	default:
		d.setText("image", a, a.text)
		d.localImage(a)
	}
}

func (q *quadlet) fetched(d *def, a arg, other *quadlet) {
	s := other.own()
	x := *q.expand
	d.setText("image", a, x.value(a.with(s.text("Image"))))
	d.localImage(a.with(s.text("Image")))
	d.platform(a, s)
	if policy := s.text("Policy"); policy != "" {
		d.pull(a.with(policy))
	}
}

// platform is what a section says of the machine that an image is for.
func (d *def) platform(a arg, s *section) {
	system, arch, variant := s.text("OS"), s.text("Arch"), s.text("Variant")
	if system+arch+variant == "" {
		return
	}
	platform := cmp.Or(system, "linux") + "/" + cmp.Or(arch, runtime.GOARCH)
	if variant != "" {
		platform += "/" + variant
	}
	d.setText("platform", a, platform)
}

// lacks: without the file nothing can be made of a definition.
func (d *def) lacks(a arg) {
	d.broken = true
	d.set.fault(a.at, a.name, "the file "+a.text+" "+notAmong, together)
}

// localImage says how an image gets here that no registry has.
func (d *def) localImage(a arg) {
	switch {
	case !strings.HasPrefix(a.text, "localhost/"):
	case d.podman:
		d.move(a, "no registry has the image", d.set.unitc("load")+shellWord("containers-storage:"+a.text))
	default:
		d.move(a, "no registry has the image", "docker save "+shellWord(a.text)+" | "+d.set.unitc("load")+"-")
	}
}
