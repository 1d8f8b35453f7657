// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// source is a volume of a pod.
type source struct {
	*pod
	v kube.Value
}

// volumeRows are the fields of a volume: what it is.
var volumeRows = []row[*source]{
	volumeLost("awsElasticBlockStore"), volumeLost("azureDisk"), volumeLost("azureFile"), volumeLost("cephfs"), volumeLost("cinder"),
	read[*source]("configMap", "`configs`, a file for each key"),
	volumeLost("csi"),
	read[*source]("downwardAPI", "`configs`, as far as the values are known before the start"),
	read[*source]("emptyDir", "a volume of the project that a service of the pod empties first; with *medium: Memory* a tmpfs with *sizeLimit*"),
	read[*source]("ephemeral", "as *emptyDir*"),
	volumeLost("fc"), volumeLost("flexVolume"), volumeLost("flocker"), volumeLost("gcePersistentDisk"),
	fieldLost[*source]("gitRepo", "a clone of a repository", "have an init container clone it"),
	volumeLost("glusterfs"),
	read[*source]("hostPath", "`volumes`; of a device `devices`. *Directory*, *File* and *Socket* have to be there, others are made as a directory"),
	read[*source]("image", "`volumes: type: image`"),
	volumeLost("iscsi"),
	read[*source]("name", "the volume's name"),
	read[*source]("nfs", "`volumes` with `driver_opts`"),
	read[*source]("persistentVolumeClaim", "`volumes`: a volume of the claim's name"),
	volumeLost("photonPersistentDisk"), volumeLost("portworxVolume"),
	read[*source]("projected", "what its sources become; *serviceAccountToken* and certificates of a cluster are lost"),
	volumeLost("quobyte"), volumeLost("rbd"), volumeLost("scaleIO"),
	read[*source]("secret", "`secrets`, a file for each key"),
	volumeLost("storageos"), volumeLost("vsphereVolume"),
}

func volumeLost(name string) row[*source] {
	return fieldLost[*source](name, "a volume that a driver mounts", "mount it on the host, by fstab(5) or a mount unit, and write its directory under volumes:, or driver_opts: of a volume")
}

// fieldsOfVolumes are those of the kinds of volumes.
var fieldsOfVolumes = map[string]string{
	"configMap": "name items defaultMode optional", "downwardAPI": "items defaultMode", "emptyDir": "medium sizeLimit", "hostPath": "path type", "image": "reference pullPolicy",
	"nfs": "server path readOnly", "persistentVolumeClaim": "claimName readOnly", "projected": "sources defaultMode", "secret": "secretName items defaultMode optional",
}

// mountOfPod is a volume at its place in a container.
type mountOfPod struct {
	*member
	a                 arg
	target, subPath   string
	readOnly, deep    bool // of what is mounted below it, too
	propagation, name string
}

var mountRows = []row[*mountOfPod]{
	fieldLost[*mountOfPod]("bindMountOptions", "options of a bind mount", "write nosuid, nodev or noexec behind the volume"),
	fieldDoes("mountPath", "`volumes`", func(m *mountOfPod, v kube.Value) {
		m.a, m.target = argOf(m, v), path.Clean("/"+strings.SplitN(v.Text(), ":", 2)[0])
	}),
	fieldDoes("mountPropagation", "`bind: propagation`", func(m *mountOfPod, v kube.Value) {
		m.propagation = map[string]string{"HostToContainer": "rslave", "Bidirectional": "rshared"}[v.Text()]
	}),
	read[*mountOfPod]("name", "the volume"),
	fieldDoes("readOnly", "`volumes` with *ro*", func(m *mountOfPod, v kube.Value) { m.readOnly = v.True() }),
	fieldDoes("recursiveReadOnly", "`bind: recursive: readonly`", func(m *mountOfPod, v kube.Value) {
		m.deep = v.Text() == "Enabled" || v.Text() == "IfPossible"
	}),
	fieldDoes("subPath", "`volume: subpath`, a path below the directory, or one file of a ConfigMap or a Secret", func(m *mountOfPod, v kube.Value) { m.subPath = v.Text() }),
	fieldDoes("subPathExpr", "as *subPath*, with the values of $(NAME)", func(m *mountOfPod, v kube.Value) { m.subPath = m.expand(argOf(m, v), v.Text()) }),
}

// mounts puts the volumes of the pod into a container.
func (m *member) mounts() {
	for _, v := range m.v.Get("volumeMounts").Items() {
		mount := &mountOfPod{member: m, a: argOf(m, v), name: v.Get("name").Text()}
		walk(mount, mountRows, v)
		volume, known := m.pod.volumes[mount.name]
		if mount.subPath != "" {
			mount.subPath = strings.TrimPrefix(path.Clean("/"+mount.subPath), "/")
		}
		switch {
		case mount.target == "" || mount.target == "/":
			m.d.lost(mount.a, "no path to mount it at", "write mountPath:")
		case !known:
			m.d.lost(mount.a, "the pod has no volume "+mount.name, "add it to volumes:")
		default:
			mount.mount(volume)
		}
	}
}

func (m *mountOfPod) mount(volume kube.Value) {
	for _, f := range volume.Fields() {
		v := f.Value
		if names := fieldsOfVolumes[f.Key]; names != "" {
			known(m, v, names)
		}
		switch f.Key {
		case "hostPath":
			m.hostPath(v)
		case "emptyDir":
			m.emptyDir(v)
		case "ephemeral":
			m.emptyDir(kube.Value{})
		case "persistentVolumeClaim":
			m.readOnly = m.readOnly || v.Get("readOnly").True()
			m.volumeOf(v.Get("claimName").Text(), true)
		case "metadata": // of a template of claims
			m.volumeOf(fmt.Sprintf("%s-%s-%d", m.name, m.pod.name, max(m.pod.instance, 0)), true)
		case "configMap", "secret", "downwardAPI":
			m.grants(f, v.Get("defaultMode"))
		case "projected":
			for _, s := range v.Get("sources").Items() {
				for _, inner := range s.Fields() {
					m.grants(inner, v.Get("defaultMode"))
				}
			}
		case "image":
			m.image(v)
		case "nfs":
			m.nfs(v)
		}
	}
}

// options are those of the short form.
func (m *mountOfPod) options(more ...string) string {
	if m.readOnly {
		more = append(more, "ro")
	}
	if m.propagation != "" {
		more = append(more, m.propagation)
	}
	if len(more) == 0 {
		return ""
	}
	return ":" + strings.Join(more, ",")
}

func (m *mountOfPod) hostPath(v kube.Value) {
	dir := v.Get("path").Text()
	switch {
	case !strings.Contains(dir, "/"): // Podman's: no slash, no path
		m.volumeOf(dir, false)
		return
	case !strings.HasPrefix(dir, "/"):
		m.d.changed(argOf(m, v.Get("path")), "a relative path begins beside the file", "write an absolute path")
		dir = path.Join(m.pod.p.dir, dir)
	}
	dir = path.Join(dir, m.subPath)
	kind := v.Get("type")
	switch kind.Text() {
	case "CharDevice", "BlockDevice":
		m.d.add("devices", m.a, dir+":"+m.target)
		return
	case "FileOrCreate":
		m.d.move(argOf(m, kind), "a start makes no file", "touch "+shellWord(dir))
		fallthrough
	case "File", "Directory", "Socket":
		m.bind(dir, false)
	default:
		m.bind(dir, true)
	}
}

func (m *mountOfPod) bind(dir string, make bool) {
	if make && !m.deep && !strings.ContainsAny(dir+m.target, ":") {
		m.d.add("volumes", m.a, dir+":"+m.target+m.options())
		return
	}
	pairs := []pair{{"type", scalarOf(m.a, "bind")}, {"source", scalarOf(m.a, dir)}, {"target", scalarOf(m.a, m.target)}}
	if m.readOnly || m.deep {
		pairs = append(pairs, pair{"read_only", bareOf(m.a, "true")})
	}
	bind := &node{kind: mapping}
	if !make {
		bind.put("create_host_path", bareOf(m.a, "false"))
	}
	if m.propagation != "" {
		bind.put("propagation", scalarOf(m.a, m.propagation))
	}
	if m.deep {
		bind.put("recursive", scalarOf(m.a, "readonly"))
	}
	m.d.addMapping("volumes", m.a, append(pairs, pair{"bind", bind})...)
}

// volumeOf mounts a volume that keeps its name, so that the data of Podman's can be moved
// to it, and others can have it too.
func (m *mountOfPod) volumeOf(name string, owned bool) {
	if !volumeName.MatchString(name) {
		m.d.lost(m.a, name+" is no name of a volume", "name the claim")
		return
	}
	m.pod.p.declare("volumes", name, m.a, pair{"name", scalarOf(m.a, name)})
	m.named(name)
	m.d.moveVolume(m.a, name, name)
	if owned && !m.readOnly {
		m.pod.owned = appendOnce(m.pod.owned, prepared{name, m.a})
	}
}

func appendOnce(all []prepared, one prepared) []prepared {
	if slices.ContainsFunc(all, func(p prepared) bool { return p.name == one.name }) {
		return all
	}
	return append(all, one)
}

// named mounts a volume of the project.
func (m *mountOfPod) named(name string, more ...string) {
	if m.subPath == "" {
		m.d.add("volumes", m.a, name+":"+m.target+m.options(more...))
		return
	}
	pairs := []pair{{"type", scalarOf(m.a, "volume")}, {"source", scalarOf(m.a, name)}, {"target", scalarOf(m.a, m.target)}}
	if m.readOnly {
		pairs = append(pairs, pair{"read_only", bareOf(m.a, "true")})
	}
	inner := &node{kind: mapping, pairs: []pair{{"subpath", scalarOf(m.a, m.subPath)}}}
	if len(more) > 0 {
		inner.put("nocopy", bareOf(m.a, "true"))
	}
	m.d.addMapping("volumes", m.a, append(pairs, pair{"volume", inner})...)
}

// emptyDir is a tmpfs, or a volume that is emptied before the pod begins.
func (m *mountOfPod) emptyDir(v kube.Value) {
	name := m.name
	if m.pod.name != m.pod.p.d.name || m.pod.instance >= 0 {
		name = m.pod.podName() + "-" + m.name
	}
	if !volumeName.MatchString(name) {
		m.d.lost(m.a, name+" is no name of a volume", "name it in letters, digits and -")
		return
	}
	limit, hasLimit := kube.Quantity(v.Get("sizeLimit").Text())
	size := int64(0)
	if hasLimit {
		size, _ = kube.Ceil(limit)
	}
	if v.Get("medium").Text() != "Memory" {
		if medium := v.Get("medium").Text(); strings.HasPrefix(medium, "HugePages") {
			m.d.lost(argOf(m, v.Get("medium")), "a file system of huge pages", "mount it on the host, and write its directory under volumes:")
			return
		}
		if size > 0 {
			m.pod.p.note(argOf(m, v.Get("sizeLimit")), "a volume has the room that its file system has; driver_opts: {size: …} limits it where that has project quotas")
		}
		m.pod.p.declare("volumes", name, m.a)
		m.named(name, "nocopy")
		m.pod.emptied = appendOnce(m.pod.emptied, prepared{name, m.a})
		return
	}
	options := "mode=1777"
	if size > 0 {
		options += fmt.Sprintf(",size=%d", size)
	}
	if m.mountedBy(m.name) == 1 && m.subPath == "" && !m.readOnly {
		m.d.add("tmpfs", m.a, m.target+":"+options)
		return
	}
	m.pod.p.declare("volumes", name, m.a, pair{"driver_opts", &node{kind: mapping, pairs: []pair{
		{"type", scalarOf(m.a, "tmpfs")}, {"device", scalarOf(m.a, "tmpfs")}, {"o", scalarOf(m.a, options)}}}})
	m.named(name, "nocopy")
}

// mountedBy counts the mounts of a volume in all containers of the pod.
func (m *mountOfPod) mountedBy(name string) (count int) {
	for _, key := range []string{"initContainers", "containers"} {
		for _, c := range m.pod.spec.Get(key).Items() {
			for _, v := range c.Get("volumeMounts").Items() {
				if v.Get("name").Text() == name {
					count++
				}
			}
		}
	}
	return count
}

func (m *mountOfPod) image(v kube.Value) {
	if policy := v.Get("pullPolicy"); policy.Text() == "Always" {
		m.d.lost(argOf(m, policy), "a newer image of a volume", "unitc pull "+shellWord(v.Get("reference").Text()))
	}
	pairs := []pair{{"type", scalarOf(m.a, "image")}, {"source", scalarOf(m.a, v.Get("reference").Text())}, {"target", scalarOf(m.a, m.target)}}
	if m.subPath != "" {
		pairs = append(pairs, pair{"image", &node{kind: mapping, pairs: []pair{{"subpath", scalarOf(m.a, m.subPath)}}}})
	}
	m.d.addMapping("volumes", m.a, pairs...)
}

func (m *mountOfPod) nfs(v kube.Value) {
	server := v.Get("server").Text()
	options := "addr=" + server
	if v.Get("readOnly").True() {
		options += ",ro"
	}
	m.pod.p.declare("volumes", m.name, m.a, pair{"driver_opts", &node{kind: mapping, pairs: []pair{
		{"type", scalarOf(m.a, "nfs")}, {"device", scalarOf(m.a, ":"+v.Get("path").Text())}, {"o", scalarOf(m.a, options)}}}})
	m.named(m.name)
}

// fileOf is a file that a volume has.
type fileOf struct {
	kind, name string // of the project's: secrets, db.password
	path       string
	mode       kube.Value
}

// grants gives a container the files of a ConfigMap, a Secret or of what is known of the pod.
func (m *mountOfPod) grants(f kube.Field, mode kube.Value) {
	var files []fileOf
	switch f.Key {
	case "configMap", "secret":
		files = m.filesOf(f)
	case "downwardAPI":
		files = m.downward(f.Value)
	default:
		m.d.lost(argOf(m, f.Value), "files of "+f.Key, "")
		return
	}
	for _, file := range files {
		target := path.Join(m.target, file.path)
		if m.subPath != "" {
			rest, below := strings.CutPrefix(file.path, m.subPath+"/")
			switch {
			case file.path == m.subPath:
				target = m.target
			case below:
				target = path.Join(m.target, rest)
			default:
				continue
			}
		}
		pairs := []pair{{"source", scalarOf(m.a, file.name)}, {"target", scalarOf(m.a, target)}}
		if file.mode.IsMissing() {
			file.mode = mode
		}
		bits, given := file.mode.Int()
		if given && bits >= 0 && bits <= 0o777 {
			if m.pod.fsGroup != nil {
				bits |= 0o040
			}
			pairs = append(pairs, pair{"mode", scalarOf(m.a, fmt.Sprintf("%04o", bits))})
			if m.pod.fsGroup != nil {
				pairs = append(pairs, pair{"gid", scalarOf(m.a, m.pod.fsGroup.text)})
			}
		}
		m.d.addMapping(file.kind, m.a, pairs...)
	}
}

// filesOf are the keys of a ConfigMap or a Secret, or those under items.
func (m *mountOfPod) filesOf(f kube.Field) (files []fileOf) {
	kind, nameKey := "ConfigMap", "name"
	if f.Key == "secret" {
		kind = "Secret"
		if f.Value.Get("name").IsMissing() {
			nameKey = "secretName"
		}
	}
	name := f.Value.Get(nameKey)
	o := m.pod.p.find(kind, name.Text())
	if o == nil {
		if f.Value.Get("optional").True() {
			m.d.same(argOf(m, f.Value), "there is no "+kind+" "+name.Text()+" here, and it is optional")
			return nil
		}
		m.d.lost(argOf(m, name), "the "+kind+" "+name.Text()+" "+notAmong, together)
		return nil
	}
	all := m.pod.p.data(o)
	if f.Value.Get("items").IsNull() {
		for _, one := range all {
			if kind, name := m.pod.p.material(o, one); name != "" {
				files = append(files, fileOf{kind: kind, name: name, path: one.key})
			}
		}
		return files
	}
	for _, item := range f.Value.Get("items").Items() {
		key := item.Get("key").Text()
		i := slices.IndexFunc(all, func(one datum) bool { return one.key == key })
		if i < 0 {
			if !f.Value.Get("optional").True() {
				m.d.lost(argOf(m, item), "the "+o.kind+" "+o.name+" has no key "+key, "")
			}
			continue
		}
		if kind, name := m.pod.p.material(o, all[i]); name != "" {
			files = append(files, fileOf{kind, name, strings.TrimPrefix(path.Clean("/"+item.Get("path").Text()), "/"), item.Get("mode")})
		}
	}
	return files
}

// downward are files with what is known of the pod.
func (m *mountOfPod) downward(v kube.Value) (files []fileOf) {
	for _, item := range v.Get("items").Items() {
		where := strings.TrimPrefix(path.Clean("/"+item.Get("path").Text()), "/")
		for _, f := range item.Fields() {
			if f.Key != "fieldRef" && f.Key != "resourceFieldRef" {
				continue
			}
			text, ok := "", true
			switch of := f.Value.Get("fieldPath").Text(); of {
			case "metadata.labels", "metadata.annotations":
				for _, label := range m.pod.meta.Get(strings.TrimPrefix(of, "metadata.")).Fields() {
					text += fmt.Sprintf("%s=%q\n", label.Key, label.Value.Text())
				}
			default:
				text, ok = m.fieldValue(f)
			}
			if !ok {
				continue
			}
			name := m.member.d.name + "." + strings.ReplaceAll(where, "/", ".")
			content := scalarOf(argOf(m, item), text)
			content.block = true
			m.pod.p.d.root.child("configs", mapping).put(name, &node{kind: mapping, pairs: []pair{{"content", content}}, at: content.at, from: content.from})
			files = append(files, fileOf{"configs", name, where, item.Get("mode")})
		}
	}
	return files
}
