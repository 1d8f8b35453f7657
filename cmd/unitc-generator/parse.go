// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/searchpath"
)

// parse is the seam between the files found and the definition language.
func parse(src searchpath.Source) definition.File {
	in := compose.Input{Name: src.Name, Dir: src.Dir, Layers: make([]compose.Layer, len(src.Layers))}
	for i, layer := range src.Layers {
		in.Layers[i] = compose.Layer(layer)
	}
	return compose.Parse(in)
}
