// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"regexp"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// variableOf is one of a container's.
type variableOf struct {
	name, value string
	secret      bool
	a           arg
}

// variableName is one that a file of variables can have.
var variableName = regexp.MustCompile(`^[A-Za-z_.-][A-Za-z0-9_.-]*$`)

// envFields are the fields of a variable and of its source.
var envRows = []row[*member]{
	fieldLost[*member]("fileKeyRef", "a variable of a file that another container writes", "have the command read it"),
	read[*member]("configMapKeyRef", "the value"),
	read[*member]("fieldRef", "the value of *metadata.name*, *metadata.namespace*, *metadata.labels*, *metadata.annotations*; addresses and the host's name are lost"),
	read[*member]("resourceFieldRef", "the value"),
	read[*member]("secretKeyRef", "the value, in an `env_file` with mode 0600"),
}

// variables of a container in the order in which Kubernetes takes them: the last one of a
// name counts, and each may use those before it.
func (m *member) variables() {
	for _, from := range m.v.Get("envFrom").Items() {
		prefix := from.Get("prefix").Text()
		for _, f := range from.Fields() {
			switch f.Key {
			case "prefix":
			case "configMapRef", "secretRef":
				m.allOf(f.Value, f.Key == "secretRef", prefix)
			default:
				m.d.lost(argOf(m, f.Value), "Kubernetes has no such field here", "see its API reference")
			}
		}
	}
	for _, v := range m.v.Get("env").Items() {
		m.variable(v)
	}
	m.writeVariables()
}

func (m *member) setVariable(v variableOf) {
	if !variableName.MatchString(v.name) || strings.IndexByte(v.value, 0) >= 0 {
		m.d.lost(v.a, v.name+" is no variable", "")
		return
	}
	m.env = slices.DeleteFunc(m.env, func(have variableOf) bool { return have.name == v.name })
	m.env = append(m.env, v)
}

// allOf takes all variables of a ConfigMap or a Secret.
func (m *member) allOf(ref kube.Value, isSecret bool, prefix string) {
	kind := "ConfigMap"
	if isSecret {
		kind = "Secret"
	}
	o := m.pod.p.find(kind, ref.Get("name").Text())
	a := argOf(m, ref.Get("name"))
	if o == nil {
		m.missing(a, kind, ref, "all of its keys")
		return
	}
	for _, item := range m.pod.p.data(o) {
		if item.isBinary {
			continue
		}
		m.setVariable(variableOf{name: prefix + item.key, value: string(item.data), secret: isSecret, a: a})
	}
}

// missing tells of an object that is not among those that are converted.
func (m *member) missing(a arg, kind string, ref kube.Value, what string) {
	name := ref.Get("name").Text()
	switch {
	case ref.Get("optional").True():
		m.d.same(a, "there is no "+kind+" "+name+" here, and it is optional")
	case kind == "Secret" && objectName.MatchString(name):
		file := "./" + m.pod.p.d.name + "." + name + ".secrets"
		m.d.changed(a, "the Secret "+name+" "+notAmong, "have "+file+" set "+what+" before the first start (NAME=value, one on a line, mode 0600), or "+together)
		m.d.addMapping("env_file", a, pair{"path", scalarOf(a, file)})
	default:
		m.d.lost(a, "the "+kind+" "+name+" "+notAmong, together)
	}
}

func (m *member) variable(v kube.Value) {
	known(m, v, "name value valueFrom")
	name, from := v.Get("name").Text(), v.Get("valueFrom")
	a := argOf(m, v.Get("name"))
	if from.IsNull() {
		value, secret := m.expanded(v.Get("value").Text())
		m.setVariable(variableOf{name: name, value: value, secret: secret, a: argOf(m, v.Get("value")).with("")})
		return
	}
	for _, f := range from.Fields() {
		m.variableFrom(name, a, f)
	}
}

func (m *member) variableFrom(name string, a arg, f kube.Field) {
	switch f.Key {
	case "configMapKeyRef", "secretKeyRef":
		kind := map[bool]string{true: "Secret", false: "ConfigMap"}[f.Key == "secretKeyRef"]
		o := m.pod.p.find(kind, f.Value.Get("name").Text())
		if o == nil {
			m.missing(argOf(m, f.Value), kind, f.Value, name)
			return
		}
		key := f.Value.Get("key").Text()
		for _, item := range m.pod.p.data(o) {
			if item.key == key && !item.isBinary {
				m.setVariable(variableOf{name: name, value: string(item.data), secret: kind == "Secret", a: a})
				return
			}
		}
		if !f.Value.Get("optional").True() {
			m.d.lost(argOf(m, f.Value.Get("key")), "the "+kind+" "+o.name+" has no key "+key, "write the variable under environment:")
		}
	case "fieldRef", "resourceFieldRef":
		if value, ok := m.fieldValue(f); ok {
			m.setVariable(variableOf{name: name, value: value, a: a})
		}
	default:
		m.d.lost(argOf(m, f.Value), "a variable from "+f.Key, "write its value under environment:")
	}
}

var ofMap = regexp.MustCompile(`^metadata\.(labels|annotations)\['(.+)'\]$`)

// fieldValue is what a reference to the pod's own fields stands for.
func (m *member) fieldValue(f kube.Field) (string, bool) {
	if f.Key == "resourceFieldRef" {
		return m.resourceValue(f.Value)
	}
	path := f.Value.Get("fieldPath")
	switch text := path.Text(); text {
	case "metadata.name":
		return m.pod.podName(), true
	case "metadata.namespace":
		return m.pod.p.namespace(m.pod.o), true
	case "spec.serviceAccountName":
		if name := m.pod.spec.Get("serviceAccountName").Text(); name != "" {
			return name, true
		}
		return "default", true
	default:
		if match := ofMap.FindStringSubmatch(text); match != nil {
			return m.pod.meta.Find(match[1], match[2]).Text(), true
		}
		cure := "write its value under environment:"
		if strings.HasPrefix(text, "status.podIP") {
			cure = "have the program ask for its address, or write networks: with ipv4_address:, and the same here"
		}
		m.d.lost(argOf(m, path), text+" is not known before the start", cure)
		return "", false
	}
}

// expanded puts the values of variables in, and tells whether one of them is a secret.
func (m *member) expanded(text string) (value string, secret bool) {
	value = kube.Expand(text, func(name string) (string, bool) {
		for _, v := range m.env {
			if v.name == name {
				secret = secret || v.secret
				return v.value, true
			}
		}
		return "", false
	})
	return value, secret
}

// expand is expanded for command lines: a secret's value is left to NAME.env.
func (m *member) expand(a arg, text string) string {
	return kube.Expand(text, func(name string) (string, bool) {
		for _, v := range m.env {
			switch {
			case v.name != name:
			case !v.secret:
				return v.value, true
			default:
				of := strings.ToUpper(strings.Map(func(r rune) rune {
					if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
						return r
					}
					return '_'
				}, m.d.name+"_"+name))
				m.d.changed(a, "a secret is part of the command line, which others of the host can see", "have the program read a file, or the variable")
				return m.pod.p.d.use("X_"+of, v.value), true
			}
		}
		return "", false
	})
}

// writeVariables parts what may stand in the definition from what is nobody's to read.
func (m *member) writeVariables() {
	var secrets []variable
	var at arg
	for _, v := range m.env {
		if !v.secret {
			m.d.pair("environment", v.name, v.a, scalarOf(v.a, v.value))
			continue
		}
		secrets, at = append(secrets, variable{v.name, v.value}), v.a
	}
	if len(secrets) == 0 {
		return
	}
	name := m.pod.p.d.name + "." + m.d.name + ".secrets"
	var b strings.Builder
	b.WriteString("# Variables of " + m.d.name + " in " + m.pod.p.d.file() + " that are secrets.\n")
	for _, v := range secrets {
		b.WriteString(v.name + "=" + quoteVariable(v.value) + "\n")
	}
	m.pod.p.d.extra = append(m.pod.p.d.extra, File{Name: name, Data: []byte(b.String()), Mode: 0o600, Secret: true})
	m.d.addMapping("env_file", at, pair{"path", scalarOf(at, "./"+name)})
}

// namespace is that of an object.
func (p *project) namespace(o *object) string {
	if name := o.value.Find("metadata", "namespace").Text(); name != "" {
		return name
	}
	return "default"
}
