// SPDX-License-Identifier: Apache-2.0

// Package schema makes the JSON Schema of definitions from the tables that the
// parser itself uses, for completion and checking in editors. It is draft-07,
// the newest that the yaml-language-server and its like handle in full.
package schema

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
)

// Object is a JSON object whose keys keep the order in which they were set:
// the same tables give the same bytes.
type Object struct {
	keys   []string
	values []any
}

func (o *Object) set(key string, value any) *Object {
	o.keys = append(o.keys, key)
	o.values = append(o.values, value)
	return o
}

// MarshalJSON writes the keys in their order.
func (o *Object) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, key := range o.keys {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := encode(key, "")
		if err != nil {
			return nil, err
		}
		value, err := encode(o.values[i], "")
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}

// encode is json.Marshal without the escapes that HTML needs.
func encode(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	err := e.Encode(v)
	return b.Bytes(), err
}

// ID names the schema; nothing is fetched from there.
const ID = "urn:unitc:definition"

// Generate gives the schema, indented.
func Generate() ([]byte, error) {
	return encode(root(), "  ")
}

// root is one service's shape or, if there is `services:`, a project's.
func root() *Object {
	return (&Object{}).
		set("$schema", "http://json-schema.org/draft-07/schema#").
		set("$id", ID).
		set("title", "unitc definition").
		set("description", "A service in the Compose Specification's words, or a whole compose file.").
		set("type", "object").
		set("if", (&Object{}).set("anyOf", []*Object{(&Object{}).set("required", []string{"services"}), (&Object{}).set("required", []string{"include"})})).
		set("then", project()).
		set("else", (&Object{}).set("$ref", "#/definitions/service")).
		set("definitions", (&Object{}).set("service", service()).set("directive", directive()))
}

// project: there is a service, unless an included file may have some.
func project() *Object {
	some := (&Object{}).set("properties", (&Object{}).set("services", (&Object{}).set("minProperties", 1)))
	return mapping(compose.ProjectKeys()).set("anyOf", []*Object{(&Object{}).set("required", []string{"include"}), some})
}

// service adds to the table what is demanded of a service as a whole.
func service() *Object {
	o := mapping(compose.ServiceKeys())
	need := func(keys ...string) *Object { return (&Object{}).set("required", keys) }
	return o.set("anyOf", []*Object{need("rootfs"), need("image"), need("bundle"), need("extends"), need("build")})
}

// mapping is the shape of known keys.
func mapping(keys []compose.Key) *Object {
	properties := &Object{}
	var required []string
	for _, k := range keys {
		properties.set(k.Name, property(k))
		if k.Required {
			required = append(required, k.Name)
		}
	}
	o := (&Object{}).set("type", "object").set("properties", properties)
	if required != nil {
		o.set("required", required)
	}
	return o.set("patternProperties", (&Object{}).set("^x-", &Object{})).set("additionalProperties", false)
}

// property is one key with its documentation.
func property(k compose.Key) *Object {
	text := k.Doc
	switch k.Status {
	case compose.Refused:
		return (&Object{}).set("description", "unitc does not support this key: "+k.Note+".").set("not", &Object{})
	case compose.Ignored:
		text += " Ignored: " + k.Note + "."
	}
	o := (&Object{}).set("description", text)
	if k.Name == "x-systemd" {
		return o.set("allOf", []*Object{(&Object{}).set("$ref", "#/definitions/service/properties/systemd")})
	}
	if k.Example != "" {
		o.set("examples", []string{k.Name + ": " + k.Example})
	}
	body := value(k.Shape, k.Name)
	if k.Shape.EmptyString && !k.Required && k.Name != "image" {
		body = (&Object{}).set("anyOf", []*Object{body, (&Object{}).set("const", "")})
	}
	o.keys = append(o.keys, body.keys...)
	o.values = append(o.values, body.values...)
	return o
}

// value is any of the kinds of a shape.
func value(s *compose.Shape, key string) *Object {
	switch {
	case s == nil || s.Any:
		return &Object{}
	case s.Service:
		return (&Object{}).set("$ref", "#/definitions/service")
	}
	var kinds []*Object
	add := func(o *Object) { kinds = append(kinds, o) }
	if s.Null {
		add((&Object{}).set("type", "null"))
	}
	if s.Boolean {
		add(boolean(s))
	}
	if s.Number || s.Integer {
		add(number(s))
	}
	if s.String || s.Boolean || s.Number || s.Integer {
		add(text(s))
	}
	if s.List {
		add(list(s))
	}
	if s.Mapping {
		add(object(s, key))
	}
	if len(kinds) == 1 {
		return kinds[0]
	}
	return (&Object{}).set("anyOf", kinds)
}

func boolean(s *compose.Shape) *Object {
	if s.FalseOnly {
		return (&Object{}).set("const", false)
	}
	return (&Object{}).set("type", "boolean")
}

func number(s *compose.Shape) *Object {
	o := (&Object{}).set("type", "integer")
	if s.Number {
		o = (&Object{}).set("type", "number")
	}
	if s.Bounded {
		o.set("minimum", s.Low)
		if s.High < 1<<53 { // beyond it JSON's numbers are no longer whole
			o.set("maximum", s.High)
		}
	}
	exempt := []int{}
	if s.ZeroToo {
		exempt = append(exempt, 0)
	}
	if s.MinusOneToo {
		exempt = append(exempt, -1)
	}
	if len(exempt) == 0 {
		return o
	}
	return (&Object{}).set("anyOf", []*Object{o, (&Object{}).set("enum", exempt)})
}

// variable begins what only filling in can tell.
const variable = `\$`

// text is a string of the shape's form, or one that a variable will give.
func text(s *compose.Shape) *Object {
	o := (&Object{}).set("type", "string")
	var forms []string
	if s.Words != nil {
		quoted := make([]string, len(s.Words))
		for i, w := range s.Words {
			quoted[i] = strings.NewReplacer(".", `\.`, "+", `\+`).Replace(w)
		}
		forms = append(forms, "^("+strings.Join(quoted, "|")+")$")
	}
	if s.Pattern != "" {
		forms = append(forms, s.Pattern)
	}
	if forms == nil && !s.String {
		forms = kindForms(s)
	}
	if forms == nil {
		return o
	}
	return o.set("pattern", strings.Join(append(forms, variable), "|"))
}

// kindForms: a string may hold the number or boolean that is wanted.
func kindForms(s *compose.Shape) (forms []string) {
	if s.Boolean {
		forms = append(forms, "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy]([Ee][Ss])?|[Nn][Oo]?|[Oo][Nn]|[Oo][Ff][Ff]|[01])$")
	}
	if s.Number {
		forms = append(forms, `^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$`)
	}
	return forms
}

func list(s *compose.Shape) *Object {
	o := (&Object{}).set("type", "array")
	if s.First != nil {
		o.set("items", []*Object{(&Object{}).set("enum", s.First)}).set("additionalItems", value(s.Item, ""))
	} else {
		o.set("items", value(s.Item, ""))
	}
	if s.Unique {
		o.set("uniqueItems", true)
	}
	if s.Min > 0 {
		o.set("minItems", s.Min)
	}
	return o
}

func object(s *compose.Shape, key string) *Object {
	if s.Open == nil {
		return mapping(s.Keys)
	}
	if names := directives(key); names != nil {
		return blockOf(names)
	}
	o := (&Object{}).set("type", "object").set("additionalProperties", value(s.Open, ""))
	if s.KeyPattern != "" {
		o.set("propertyNames", (&Object{}).set("pattern", s.KeyPattern))
	}
	return o
}

// directives are the names that a block of `systemd:` passes on. The blocks'
// names are no other keys' names.
func directives(block string) []string {
	all := compose.SystemdDirectives()
	if i := slices.IndexFunc(all, func(d compose.Directives) bool { return d.Block == block }); i >= 0 {
		return all[i].Names
	}
	return nil
}

// directive is the value of one: a scalar, or a list for several lines.
func directive() *Object {
	for _, k := range compose.ServiceKeys() {
		if k.Name == "systemd" {
			for _, block := range k.Shape.Keys {
				if block.Name == "unit" {
					return value(block.Shape.Open, "")
				}
			}
		}
	}
	return &Object{}
}

// blockOf lists the names, for completion; X- names are systemd's own way out.
func blockOf(names []string) *Object {
	properties := &Object{}
	for _, name := range names {
		properties.set(name, (&Object{}).set("$ref", "#/definitions/directive"))
	}
	return (&Object{}).set("type", "object").set("properties", properties).
		set("patternProperties", (&Object{}).set("^X-[A-Za-z0-9_-]*$", (&Object{}).set("$ref", "#/definitions/directive"))).
		set("additionalProperties", false)
}
