// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// Problem is a fault of this service found after parsing, at the place where
// the key with this path stands, or the nearest key above it.
func (s *Service) Problem(path, what, cure string) diag.Problem {
	p := diag.Problem{File: s.Source.File, Line: s.Source.Line, Col: s.Source.Col, Path: path, What: what, Cure: cure}
	for key := path; key != ""; key = parentKey(key) {
		if place, ok := s.Source.Lines.At(key); ok {
			p.File, p.Line, p.Col = cmp.Or(place.File, s.Source.File), place.Line, place.Col
			break
		}
	}
	p.Path = s.PathOf(path)
	return p
}

// PathOf is the path of a key from the top of the file.
func (s *Service) PathOf(key string) string {
	switch {
	case s.Project == "":
		return key
	case strings.Contains(s.Key, "."):
		return strings.TrimSuffix("services["+strconv.Quote(s.Key)+"]."+key, ".")
	}
	return strings.TrimSuffix("services."+s.Key+"."+key, ".")
}

func parentKey(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
