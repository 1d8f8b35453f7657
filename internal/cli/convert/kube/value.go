// SPDX-License-Identifier: Apache-2.0

// Package kube reads what Kubernetes YAML is made of: documents whose values know their
// places, quantities, schedules of cron and references to variables. What becomes of them
// is decided in the room above. It reads bytes that it is given, and no files.
package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

// Value is a part of a document, with its place. The zero value is one that is missing.
type Value struct {
	node      *yaml.Node
	path      string
	line, col int // of its key
}

// Field is a key of a mapping.
type Field struct {
	Key   string
	Value Value
	// Again: the key stands a second time.
	Again bool
}

// maxNodes bounds what aliases expand to.
const maxNodes = 200_000

// SyntaxError says where a text is no YAML.
type SyntaxError struct {
	Line int
	What string
}

func (e *SyntaxError) Error() string { return e.What }

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// Documents parts a text; empty documents are left out.
func Documents(data []byte) (all []Value, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	left := maxNodes
	for {
		var doc yaml.Node
		switch err := decoder.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			match := yamlLine.FindStringSubmatch(err.Error())
			if match == nil {
				return all, &SyntaxError{1, err.Error()}
			}
			line, _ := strconv.Atoi(match[1])
			return all, &SyntaxError{max(line, 1), match[2]}
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
			continue
		}
		root := doc.Content[0]
		if left = count(root, left, 0); left <= 0 {
			return all, &SyntaxError{max(root.Line, 1), fmt.Sprintf("more than %d values, or they contain themselves", maxNodes)}
		}
		if v := (Value{node: root, line: root.Line, col: root.Column}); !v.IsNull() {
			all = append(all, v)
		}
	}
}

// count takes the nodes of a tree, aliases followed, from those that are left.
func count(n *yaml.Node, left, depth int) int {
	if depth > 200 {
		return 0
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for _, child := range n.Content {
		if left <= 0 {
			return 0
		}
		left = count(child, left-1, depth+1)
	}
	return left
}

// IsObject tells whether a document says what kind of object it is, as all of Kubernetes' do.
func (v Value) IsObject() bool {
	return v.Get("kind").Text() != "" && !v.Get("apiVersion").IsMissing()
}

// real follows an alias.
func (v Value) real() *yaml.Node {
	if v.node != nil && v.node.Kind == yaml.AliasNode {
		return v.node.Alias
	}
	return v.node
}

func (v Value) is(kind yaml.Kind) bool { n := v.real(); return n != nil && n.Kind == kind }

// IsMissing: there is no such value. IsNull: there is none, or it is empty.
func (v Value) IsMissing() bool { return v.node == nil }

func (v Value) IsNull() bool {
	return v.node == nil || v.is(yaml.ScalarNode) && v.real().Tag == "!!null"
}

// IsMap, IsList and IsScalar tell its kind.
func (v Value) IsMap() bool    { return v.is(yaml.MappingNode) }
func (v Value) IsList() bool   { return v.is(yaml.SequenceNode) }
func (v Value) IsScalar() bool { return v.is(yaml.ScalarNode) }

// Line and Col are where it stands: its key, where it has one. They are 0 if it is missing.
func (v Value) Line() int { return v.line }
func (v Value) Col() int  { return v.col }

// Path is its name in the object: spec.containers[0].image.
func (v Value) Path() string { return v.path }

// At is the same value as if it had another path.
func (v Value) At(path string) Value {
	v.path = path
	return v
}

// Text is a scalar's, "" for all others.
func (v Value) Text() string {
	if !v.IsScalar() || v.IsNull() {
		return ""
	}
	return v.real().Value
}

// Get is the value of a key; the last of several counts, and those of << come behind.
func (v Value) Get(key string) Value {
	if !v.IsMap() {
		return Value{}
	}
	n := v.real()
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == key {
			return Value{n.Content[i+1], join(v.path, key), n.Content[i].Line, n.Content[i].Column}
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		for _, other := range merged(n.Content[i+1]) {
			if found := (Value{node: other, path: v.path}).Get(key); !found.IsMissing() {
				return found
			}
		}
	}
	return Value{}
}

// Find is Get for several keys, one below the other.
func (v Value) Find(keys ...string) Value {
	for _, key := range keys {
		v = v.Get(key)
	}
	return v
}

func isMerge(n *yaml.Node) bool { return n.Tag == "!!merge" }

func merged(n *yaml.Node) []*yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.SequenceNode {
		return n.Content
	}
	return []*yaml.Node{n}
}

// Fields are those of a mapping in their order, each once more where it stands again.
func (v Value) Fields() (all []Field) {
	if !v.IsMap() {
		return nil
	}
	seen := map[string]bool{}
	n := v.real()
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if isMerge(key) {
			continue
		}
		all = append(all, Field{Key: key.Value, Value: v.Get(key.Value), Again: seen[key.Value]})
		seen[key.Value] = true
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMerge(n.Content[i]) {
			continue
		}
		for _, other := range merged(n.Content[i+1]) {
			for _, f := range (Value{node: other, path: v.path}).Fields() {
				if !seen[f.Key] {
					seen[f.Key] = true
					all = append(all, f)
				}
			}
		}
	}
	return all
}

// Items are those of a list.
func (v Value) Items() (all []Value) {
	if !v.IsList() {
		return nil
	}
	for i, item := range v.real().Content {
		all = append(all, Value{item, v.path + "[" + strconv.Itoa(i) + "]", item.Line, item.Column})
	}
	return all
}

// Texts are the scalars of a list.
func (v Value) Texts() (all []string) {
	for _, item := range v.Items() {
		all = append(all, item.Text())
	}
	return all
}

// Int is a whole number; octal ones are as YAML 1.1, and so Kubernetes, has them.
func (v Value) Int() (int64, bool) {
	text := v.Text()
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '7' {
		text = "0o" + text[1:]
	}
	n, err := strconv.ParseInt(text, 0, 64)
	return n, err == nil
}

// True reads a switch.
func (v Value) True() bool {
	switch v.Text() {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON":
		return true
	}
	return false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
