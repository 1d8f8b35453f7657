// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
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
		command := "unitc volume create " + q.volumeName()
		for _, o := range []struct{ option, key string }{{"type", "Type"}, {"device", "Device"}, {"o", "Options"}} {
			if text := s.text(o.key); text != "" {
				command += " -o " + o.option + "=" + q.expand.specifiers(arg{text: text})
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
	v := q.set.find(file)
	if v == nil {
		d.changed(a, "the file "+file+" is not among those that are converted", "convert them together")
		v = &quadlet{set: q.set, base: file, kind: "volume"}
	}
	name, s := v.volumeName(), v.own()
	x := *q.expand
	device := x.value(arg{text: s.text("Device"), name: a.name, at: a.at})
	if copied, ok := s.last("Copy"); ok && !isTrue(copied.text) {
		options = append(options, "nocopy")
	}
	switch {
	case s.text("Driver") == "image":
		image := s.text("Image")
		if other := q.set.find(image); other != nil {
			image = other.own().text(map[string]string{"image": "Image", "build": "ImageTag"}[other.kind])
		}
		d.mount(a.with("type=image,source=" + image + ",target=" + target))
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
	other := q.set.find(m.source)
	switch {
	case other != nil && other.kind == "volume" && m.form == "volume" && m.subpath == "":
		if m.readOnly {
			m.others = append(m.others, "ro")
		}
		q.mountFile(d, a, m.source, m.target, m.others)
		return
	case other != nil && other.kind == "volume":
		a.text = strings.Replace(a.text, m.source, other.volumeName(), 1)
	case other != nil && other.kind == "image":
		a.text = strings.Replace(a.text, m.source, other.own().text("Image"), 1)
	case other != nil && other.kind == "build":
		a.text = strings.Replace(a.text, m.source, other.own().text("ImageTag"), 1)
	case strings.HasPrefix(m.source, "."):
		a.text = strings.Replace(a.text, m.source, q.absolute(m.source), 1)
	}
	d.mount(a)
}

const (
	noPull  = "credentials and certificates come from auth.json, certs.d and registries.conf"
	noBuild = "unitc builds no images"
)

// imageKeys are those of podman-image.unit(5).
var imageKeys = []key{
	gone("AllTags", "all tags of a repository", "unitc pull each"),
	{name: "Arch", read: once, do: silent, becomes: "`platform`"},
	{name: "AuthFile", read: one, do: func(_ *quadlet, d *def, a arg) { d.changed(a, noPull, "copy it to /etc/unitc/auth.json") }, becomes: "nothing: credentials come from */etc/unitc/auth.json* and the usual places"},
	needless("CertDir", noPull),
	gone("ContainersConfModule", noModule, ""),
	{name: "Creds", read: one, do: func(_ *quadlet, d *def, a arg) { d.lost(a, noPull, "write them there, as podman login does") }, becomes: "lost: credentials come from auth.json"},
	gone("DecryptionKey", "encrypted images", ""),
	gone("GlobalArgs", noModule, ""),
	{name: "Image", read: once, do: silent, becomes: "`image` of the containers"},
	{name: "ImageTag", read: one, do: func(_ *quadlet, d *def, a arg) {
		d.changed(a, "what uses the image names what is fetched", "")
	}, becomes: "nothing: containers name what Image= says"},
	{name: "OS", read: once, do: silent, becomes: "`platform`"},
	gone("PodmanArgs", "options of podman pull", ""),
	{name: "Policy", read: once, do: silent, becomes: "`pull_policy`"},
	needless("Retry", "a pull that was broken off goes on where it broke"),
	needless("RetryDelay", "a pull that was broken off goes on where it broke"),
	needless("ServiceName", "an image is fetched by a unit of its own before the container starts"),
	{name: "TLSVerify", read: one, do: func(_ *quadlet, d *def, a arg) {
		if !isTrue(a.text) {
			d.lost(a, "a registry without a certificate", "write insecure = true for it in /etc/unitc/registries.conf")
		}
	}, becomes: "lost: *insecure = true* in registries.conf does it"},
	{name: "Variant", read: once, do: silent, becomes: "`platform`"},
}

// image reports what is lost of an .image; containers name what it fetches.
func (q *quadlet) image() {
	q.start(q.stem())
	q.each(imageKeys)
	q.leftUnit("the image is fetched by a unit of unitc's before a container starts")
}

// buildKeys are those of podman-build.unit(5). None of them can be kept, which is said
// once.
var buildKeys = []string{"Annotation", "Arch", "AuthFile", "BuildArg", "ContainersConfModule", "DNS", "DNSOption", "DNSSearch", "Environment", "File", "ForceRM", "GlobalArgs",
	"GroupAdd", "IgnoreFile", "ImageTag", "Label", "Network", "PodmanArgs", "Pull", "Retry", "RetryDelay", "Secret", "ServiceName", "SetWorkingDirectory", "Target", "TLSVerify", "Variant", "Volume"}

// build says how the image gets here.
func (q *quadlet) build() {
	d := q.start(q.stem())
	s := q.own()
	a := arg{name: "[Build]", at: s.at}
	tag := s.text("ImageTag")
	if tag == "" {
		q.set.fault(s.at, "", "no ImageTag=", "Podman makes no unit of such a file; name the image")
		return
	}
	d.lost(a, noBuild, "build it with podman, and then: unitc load containers-storage:"+tag)
	q.leftUnit(noBuild)
}

// imageOf is Image= of a container, which may name a file.
func (q *quadlet) imageOf(d *def, a arg) {
	other := q.set.find(a.text)
	switch {
	case strings.HasSuffix(a.text, ".image") && other != nil:
		q.fetched(d, a, other)
	case strings.HasSuffix(a.text, ".build") && other != nil:
		d.set1("image", a, other.own().text("ImageTag"))
		d.set1("pull_policy", a, "never")
		d.move(a, "the image is built with podman", "unitc load containers-storage:"+other.own().text("ImageTag"))
	case strings.HasSuffix(a.text, ".image") || strings.HasSuffix(a.text, ".build"):
		d.broken = true
		q.set.fault(a.at, a.name, "the file "+a.text+" is not among those that are converted", "convert them together")
	default:
		d.set1("image", a, a.text)
		d.localImage(a)
	}
}

func (q *quadlet) fetched(d *def, a arg, other *quadlet) {
	s := other.own()
	x := *q.expand
	d.set1("image", a, x.value(a.with(s.text("Image"))))
	d.localImage(a.with(s.text("Image")))
	system, arch, variant := s.text("OS"), s.text("Arch"), s.text("Variant")
	if system+arch+variant != "" {
		platform := cmp.Or(system, "linux") + "/" + cmp.Or(arch, "amd64")
		if variant != "" {
			platform += "/" + variant
		}
		d.set1("platform", a, platform)
	}
	if policy := s.text("Policy"); policy != "" {
		d.pull(a.with(policy))
	}
}

// localImage says how an image gets here that no registry has.
func (d *def) localImage(a arg) {
	switch {
	case !strings.HasPrefix(a.text, "localhost/"):
	case d.podman:
		d.move(a, "no registry has the image", "unitc load containers-storage:"+a.text)
	default:
		d.move(a, "no registry has the image", "docker save "+a.text+" | unitc load -")
	}
}
