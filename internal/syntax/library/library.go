// SPDX-License-Identifier: Apache-2.0

// Package library reads all of YAML, by yaml.v3, and regular expressions as Go
// has them.
package library

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"gopkg.in/yaml.v3"

	"github.com/unitc/unitc/internal/syntax"
)

// Full reads everything.
var Full = syntax.Library{
	YAML:      readYAML,
	CheckYAML: checkYAML,
	Regexp: func(expression string) error {
		_, err := regexp.Compile(expression)
		return err
	},
}

func readYAML(data []byte, most int) (documents []*syntax.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for len(documents) < most {
		document, err := decodeNext(decoder)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return documents, err
		}
		c := copier{anchors: map[*yaml.Node]*syntax.Node{}}
		documents = append(documents, c.copy(document))
	}
	return documents, nil
}

func checkYAML(data []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := decodeNext(decoder); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// decodeNext turns a panic of yaml.v3 into an error: its parser has had several
// on hostile input (CVE-2022-28948).
func decodeNext(decoder *yaml.Decoder) (document *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: parser panic: %v", p)
		}
	}()
	document = new(yaml.Node)
	return document, decoder.Decode(document)
}

// copier makes our nodes of one document.
type copier struct {
	anchors map[*yaml.Node]*syntax.Node
}

var kinds = map[yaml.Kind]syntax.Kind{
	yaml.DocumentNode: syntax.Document, yaml.MappingNode: syntax.Mapping, yaml.SequenceNode: syntax.Sequence,
	yaml.ScalarNode: syntax.Scalar, yaml.AliasNode: syntax.Alias,
}

func (c *copier) copy(y *yaml.Node) *syntax.Node {
	n := &syntax.Node{Kind: kinds[y.Kind], Tag: y.Tag, Value: y.Value, Line: y.Line, Column: y.Column,
		Quoted: y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0}
	if y.Anchor != "" {
		c.anchors[y] = n // before its content, which may have an alias of it
	}
	if y.Alias != nil {
		n.Alias = c.anchors[y.Alias]
	}
	if len(y.Content) > 0 {
		n.Content = make([]*syntax.Node, len(y.Content))
		for i, content := range y.Content {
			n.Content[i] = c.copy(content)
		}
	}
	return n
}
