// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
	"unicode/utf8"
)

// datum is a key of a ConfigMap or a Secret.
type datum struct {
	key  string
	data []byte
	a    arg
	// isBinary: it is no variable.
	isBinary bool
}

// dataKey is what Kubernetes takes as a key; files are called so.
var dataKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,200}$`)

// data are the keys of a ConfigMap or a Secret, the last of a name.
func (p *project) data(o *object) (all []datum) {
	put := func(one datum) {
		if !dataKey.MatchString(one.key) {
			p.d.lost(one.a, one.key+" is no name of a key", "write it in letters, digits, _ . and -")
			return
		}
		for i := range all {
			if all[i].key == one.key {
				all[i] = one
				return
			}
		}
		all = append(all, one)
	}
	for _, field := range []string{"data", "binaryData", "stringData"} {
		encoded := field == "binaryData" || field == "data" && o.kind == "Secret"
		for _, f := range o.value.Get(field).Fields() {
			a := o.arg(f.Value)
			data := []byte(f.Value.Text())
			if encoded {
				text := strings.Join(strings.Fields(f.Value.Text()), "")
				decoded, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					p.d.lost(a, "it is no base64", "write it under stringData:, or encode it")
					continue
				}
				data = decoded
			}
			put(datum{f.Key, data, a, field == "binaryData"})
		}
	}
	return all
}

// material has a key of a ConfigMap or a Secret be one of the project's configs or secrets,
// and gives its name there. Secrets are files of their own: the definition is read by others.
func (p *project) material(o *object, one datum) (kind, name string) {
	kind, name = "configs", o.name+"."+one.key
	if o.kind == "Secret" {
		kind = "secrets"
	}
	if p.files[kind+name] != "" {
		return kind, name
	}
	p.files[kind+name] = name
	isText := utf8.Valid(one.data) && !bytes.ContainsRune(one.data, 0)
	if kind == "configs" && isText {
		content := scalarOf(one.a, string(one.data))
		content.block = true
		p.d.root.child(kind, mapping).put(name, &node{kind: mapping, pairs: []pair{{"content", content}}, at: one.a.at, from: one.a.name})
		return kind, name
	}
	file := File{Name: p.d.name + "." + name + ".config", Data: one.data, Mode: 0o644, Secret: true}
	if p.private {
		file.Mode = 0o600
	}
	if kind == "secrets" {
		file.Name, file.Mode = p.d.name+"."+name+".secret", 0o600
	}
	if len(file.Name) > 250 {
		p.d.lost(one.a, "a file with so long a name", "give the "+o.kind+" a shorter one")
		return kind, ""
	}
	p.d.extra = append(p.d.extra, file)
	p.declare(kind, name, one.a, pair{"file", scalarOf(one.a, "./"+file.Name)})
	return kind, name
}
