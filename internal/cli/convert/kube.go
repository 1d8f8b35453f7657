// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
	"github.com/unitc/unitc/internal/diag"
)

// object is one of Kubernetes' of a file.
type object struct {
	kind, name string
	value      kube.Value
	file       string
}

// project is made of all objects that are converted together: services of pods'
// containers, with what they share.
type project struct {
	set     *Set
	d       *def // the whole file
	dir     string
	objects []*object
	pods    []*pod
	unit    *quadlet // the .kube, nil if there is none
	said    map[string]bool
	files   map[string]string // secrets and configs that are files, by their names in the project
	text    string            // all that was read
	// isSeveral: there are several files.
	isSeveral bool
	isBroken  bool // some of it cannot be read
	private   bool
}

// IsKubernetes tells whether a text has an object of Kubernetes'.
func IsKubernetes(data []byte) bool {
	all, err := kube.Documents(data)
	if err != nil && bytes.Contains(data, []byte("apiVersion")) {
		return true // what is wrong with it is told
	}
	return slices.ContainsFunc(all, kube.Value.IsObject)
}

// AddKubernetes reads a file of Kubernetes'; Kubernetes converts all that were added.
func (s *Set) AddKubernetes(src Source) {
	if s.kube == nil {
		s.kube = s.newProject(place{file: src.Path})
	}
	s.kube.read(src)
}

// Kubernetes makes one project of all files that were added. Its name is that of the only
// thing in it that runs, or else that of the first file.
func (s *Set) Kubernetes() {
	if p := s.kube; p != nil {
		p.d.name = p.chooseName()
		p.convert()
	}
}

func (s *Set) newProject(from place) *project {
	d := s.newDef("", from)
	d.podman, d.isProject = true, true
	return &project{set: s, d: d, said: map[string]bool{}, files: map[string]string{}}
}

func (p *project) chooseName() string {
	var running []string
	for _, o := range p.objects {
		if _, ok := templates[o.kind]; ok {
			running = append(running, o.name)
		}
	}
	stem := filepath.Base(p.d.from.file)
	if p.isSeveral {
		stem = filepath.Base(p.dir)
	}
	stem = strings.TrimSuffix(stem, filepath.Ext(stem))
	if len(running) == 1 || len(running) > 0 && !fileName.MatchString(stem) {
		return running[0]
	}
	return stem
}

// objectName is what objects and containers may be called: files are called so, too.
var objectName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,100}$`)

// maxObjects bounds what lists of lists expand to.
const maxObjects = 10_000

// read takes the objects of a file.
func (p *project) read(src Source) {
	p.private = p.private || src.Private
	if p.dir == "" {
		p.dir = src.Dir
	}
	if strings.IndexByte(string(src.Data), 0) >= 0 {
		p.set.report(diag.Error, diag.RuleSyntax, place{file: src.Path, line: 1, col: 1}, "", "a NUL byte stands in it", "save it as text")
		p.isBroken = true
		return
	}
	all, err := kube.Documents(src.Data)
	var syntax *kube.SyntaxError
	if errors.As(err, &syntax) {
		p.isBroken = true
		p.set.report(diag.Error, diag.RuleSyntax, place{file: src.Path, line: syntax.Line, col: 1}, "", syntax.What, "Kubernetes takes nothing of such a file either; mend it")
	}
	p.isSeveral = p.isSeveral || p.text != ""
	p.text += string(src.Data)
	for _, v := range all {
		p.addObject(src.Path, v)
	}
}

func (p *project) addObject(file string, v kube.Value) {
	o := &object{kind: v.Get("kind").Text(), name: v.Find("metadata", "name").Text(), value: v, file: file}
	if o.name == "" {
		o.name = strings.TrimRight(v.Find("metadata", "generateName").Text(), "-.")
	}
	at := o.arg(v)
	switch {
	case len(p.objects) >= maxObjects:
	case !v.IsObject():
		p.isBroken = true
		p.set.fault(at.at, "", "neither kind: nor apiVersion:", "Kubernetes takes no such document; a compose file is a definition as it is")
	case o.kind == "List" || strings.HasSuffix(o.kind, "List") && v.Get("items").IsList():
		for _, item := range v.Get("items").Items() {
			p.addObject(file, item.At(""))
		}
	case o.name == "":
		p.set.fault(at.at, "metadata.name", "it has no name", "give it one")
	case !objectName.MatchString(o.name):
		p.isBroken = true
		p.set.fault(o.arg(v.Find("metadata", "name")).at, "metadata.name", strconv.Quote(o.name)+" is no name of an object", "name it in letters, digits, . and -")
	case p.find(o.kind, o.name) != nil:
		p.set.fault(at.at, "metadata.name", "there is a "+o.kind+" of this name already, at "+p.find(o.kind, o.name).arg(v).at.String(), "convert one of the two")
	default:
		p.objects = append(p.objects, o)
	}
}

// find is the object of a kind and a name, nil if there is none.
func (p *project) find(kind, name string) *object {
	for _, o := range p.objects {
		if o.kind == kind && o.name == name {
			return o
		}
	}
	return nil
}

// arg is a value with its place and its path.
func (o *object) arg(v kube.Value) arg {
	return arg{text: v.Text(), name: v.Path(), at: place{file: o.file, line: v.Line(), col: v.Col()}}
}

// whole is an object by its kind.
func (o *object) whole() arg {
	a := o.arg(o.value.Get("kind"))
	a.name = o.kind
	return a
}

// convert makes NAME.yaml.
func (p *project) convert() {
	p.d.private = p.private
	for _, o := range p.objects {
		if row := kindOf(o.kind); row != nil {
			row.do(p, o)
		} else {
			p.once(o.whole(), o.kind, "what a "+o.kind+" is for", "nothing of it is made; see what it does, and write that as keys of the definition")
		}
	}
	p.replicate()
	for _, pod := range p.pods {
		pod.convert()
	}
	p.pods = slices.DeleteFunc(p.pods, func(one *pod) bool { return one.holder == nil })
	if len(p.pods) == 0 && !p.isBroken {
		p.set.fault(p.d.from, "", "nothing in it runs", "convert it together with the Pod or the Deployment that uses it")
	}
	if len(p.pods) == 0 {
		return
	}
	p.publish()
	p.declareNetworks()
	p.set.add(p.d)
}

// once tells of a loss one time for all objects that have it.
func (p *project) once(a arg, key, what, cure string) {
	if !p.said[key+what] {
		p.said[key+what] = true
		p.d.lost(a, what, cure)
	}
}

// note tells once that something needs no word.
func (p *project) note(a arg, why string) {
	name := a.name[strings.LastIndexByte(a.name, '.')+1:]
	if !p.said[name+why] {
		p.said[name+why] = true
		p.d.same(a, why)
	}
}

// service adds a service to the project.
func (p *project) service(name string, at arg) *def {
	sd := p.set.newDef(name, at.at)
	sd.podman, sd.getenv = true, p.d.getenv
	sd.actsOnFailure, sd.notify = true, "healthy"
	sd.root.at, sd.root.from = at.at, at.name
	p.d.root.child("services", mapping).put(name, sd.root)
	return sd
}

// closeService has what was said of a service stand above it.
func closeService(sd *def) {
	sd.finish()
	sd.root.sort(order)
	if system := sd.root.get("systemd"); system != nil {
		system.sort(systemdOrder)
	}
	sd.root.above = sd.head
}

// declare names a volume, a secret or the like at the top.
func (p *project) declare(kind, name string, a arg, pairs ...pair) {
	all := p.d.root.child(kind, mapping)
	if all.get(name) == nil {
		all.put(name, &node{kind: mapping, flow: true, pairs: pairs, at: a.at, from: a.name})
	}
}

// free is the first of some names that no service has.
func (p *project) free(names ...string) string {
	services := p.d.root.child("services", mapping)
	for _, name := range names {
		if services.get(name) == nil {
			return name
		}
	}
	for n := 2; ; n++ {
		if name := names[len(names)-1] + "-" + itoa(n); services.get(name) == nil {
			return name
		}
	}
}
