// SPDX-License-Identifier: Apache-2.0

package definition

import "github.com/unitc/unitc/internal/diag"

// File is all that one definition file (with its drop-ins) gives. Problems
// with severity Error make every unit of the file an error unit.
type File struct {
	// Name is the file's name without ".yaml": "web", "worker@", "blog".
	Name string
	Path string
	// Project is true for a whole compose file with `services:`.
	Project  bool
	Services []Service
	// Networks, Volumes, Secrets and Configs are the project's; of a service
	// without a project they are empty.
	Networks []Network
	Volumes  []NamedVolume
	Secrets  []Material
	Configs  []Material
	Problems diag.List
}
