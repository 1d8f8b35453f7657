// SPDX-License-Identifier: Apache-2.0

// Package buildinfo holds what the Makefile knows and the source cannot: which
// version this is and where the install puts the helper. Its values are set
// with -ldflags=-X; it imports nothing, so every binary can afford it.
package buildinfo

// Version is what `git describe` said of the built tree.
var Version = "devel"

// CommandPath is where units find unitc itself, for work that is not on the way
// of a start.
var CommandPath = "/usr/local/bin/unitc"

// HelperPath is where generated units find the launch helper, an absolute path
// (systemd.service(5): ExecStart= takes no other, short of a search in $PATH).
var HelperPath = "/usr/local/lib/unitc/unitc-exec"

// RelayPath is what the helper becomes where a payload needs company.
var RelayPath = "/usr/local/lib/unitc/unitc-relay"

// ProbePath is what the relay runs for a check over TLS.
var ProbePath = "/usr/local/lib/unitc/unitc-probe"

// YAMLGeneratorPath is what unitc-generator becomes where a definition is not of the
// plain part of YAML.
var YAMLGeneratorPath = "/usr/local/lib/unitc/unitc-generator-yaml"
