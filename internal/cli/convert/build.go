// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"path/filepath"
	"slices"
	"strings"
)

const builders = "the builder's defaults are taken"

// buildKeys are those of podman-build.unit(5). What they say stands in the containers
// that use the image.
var buildKeys = []key{
	gone("Annotation", "annotations of an image that is built", "write LABEL in the Dockerfile"),
	{name: "Arch", read: once, do: silent, becomes: "`platform`"},
	gone("AuthFile", "credentials of a build", "log in with the builder: podman login"),
	{name: "BuildArg", read: once, do: silent, becomes: "`build: args`"},
	gone("ContainersConfModule", noModule, ""),
	gone("DNS", "name servers of a build", builders),
	gone("DNSOption", "name servers of a build", builders),
	gone("DNSSearch", "name servers of a build", builders),
	gone("Environment", "variables of an image that is built", "write ENV in the Dockerfile, or environment: of the containers"),
	{name: "File", read: once, do: silent, becomes: "`build: dockerfile`"},
	needless("ForceRM", "what a build leaves beside the image is the builder's"),
	gone("GlobalArgs", noModule, ""),
	gone("GroupAdd", "further groups in a build", builders),
	gone("IgnoreFile", "another list of files to ignore", "name it .containerignore, in the context"),
	{name: "ImageTag", read: once, do: silent, becomes: "`image`, further ones `build: tags`"},
	{name: "Label", read: once, do: silent, becomes: "`build: labels`"},
	{name: "Network", read: once, do: silent, becomes: "`build: network`"},
	gone("PodmanArgs", "options of podman build", "write keys of build:"),
	{name: "Pull", read: once, do: silent, becomes: "`build: pull`"},
	needless("Retry", noRetry),
	needless("RetryDelay", noRetry),
	gone("Secret", "secrets of a build", "write build: secrets: and secrets: in a project's file"),
	needless("ServiceName", "unitc build and unitc up build; a start builds nothing"),
	{name: "SetWorkingDirectory", read: once, do: silent, becomes: "`build: context`"},
	{name: "Target", read: once, do: silent, becomes: "`build: target`"},
	{name: "TLSVerify", read: one, do: registryWithoutTLS, becomes: "lost: the builder's registries.conf does it"},
	{name: "Variant", read: once, do: silent, becomes: "`platform`"},
	gone("Volume", "mounts of a build", builders),
}

func registryWithoutTLS(_ *quadlet, d *def, a arg) {
	if !isTrue(a.text) {
		d.lost(a, "a registry without a certificate", "write insecure = true for it in registries.conf")
	}
}

// build reports what is lost of a .build; its containers have the rest.
func (q *quadlet) build() {
	q.start(q.stem())
	if q.builtImage() == "" {
		q.set.fault(q.own().at, "", "no ImageTag=", "Podman makes no unit of such a file; name the image")
		return
	}
	q.each(buildKeys)
	q.leftUnit("an image is built by unitc build and unitc up, and by no start")
}

// builtImage is the image's name, the first that it gets.
func (q *quadlet) builtImage() string {
	if all := q.own().all("ImageTag"); len(all) > 0 {
		return all[0].text
	}
	return ""
}

// built has the container's image made as a .build says.
func (q *quadlet) built(d *def, a arg, other *quadlet) {
	s, x := other.own(), q.expand
	image := other.builtImage()
	if image == "" {
		return // which was said of the file
	}
	d.setText("image", a, x.value(a.with(image)))
	d.setText("pull_policy", a, "never")
	d.platform(a, s)
	text := func(name string) string {
		value, _ := s.last(name)
		return x.value(value)
	}
	context, file := other.context(text)
	set := func(key, value string) {
		if value != "" {
			d.pair("build", key, a, scalarOf(a, value))
		}
	}
	set("context", context)
	set("dockerfile", file)
	set("target", text("Target"))
	set("network", other.networkOfBuild(d))
	if slices.Contains([]string{"always", "newer", "true"}, text("Pull")) {
		d.pair("build", "pull", a, bareOf(a, "true"))
	}
	for _, tag := range s.all("ImageTag")[1:] {
		tags := d.root.child("build", mapping).child("tags", list)
		tags.items = append(tags.items, scalarOf(tag, x.value(tag)))
	}
	for _, part := range []struct{ name, key string }{{"BuildArg", "args"}, {"Label", "labels"}} {
		for _, value := range s.all(part.name) {
			words, _ := splitWords(value.text, true)
			for _, word := range words {
				name, value, _ := strings.Cut(x.value(a.with(word)), "=")
				d.root.child("build", mapping).child(part.key, mapping).put(name, scalarOf(a, value))
			}
		}
	}
	d.move(a, "the image has to be built", d.set.unitc("build")+shellWord(d.name))
}

// context is the directory that Podman builds in, and the Dockerfile.
func (q *quadlet) context(text func(string) string) (dir, file string) {
	file = text("File")
	switch dir = text("SetWorkingDirectory"); {
	case dir == "" && filepath.IsAbs(file):
		dir = filepath.Dir(file)
	case dir == "" || strings.EqualFold(dir, "unit"):
		dir = q.dir
	case strings.EqualFold(dir, "file"):
		file = q.absolute(file)
		dir = filepath.Dir(file)
	case !strings.Contains(dir, "://"):
		dir = q.absolute(dir)
	}
	return dir, file
}

// networkOfBuild is a builder's word for one: it knows no networks of unitc's.
func (q *quadlet) networkOfBuild(d *def) string {
	a, ok := q.own().last("Network")
	switch {
	case !ok:
		return ""
	case a.text == "host" || a.text == "none" || a.text == "private":
		return a.text
	}
	d.lost(a, "the network of a build", "write build: network: as the builder has it")
	return ""
}
