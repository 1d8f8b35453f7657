// SPDX-License-Identifier: Apache-2.0

package definition

import "strings"

// Build says how a service's image is made of its sources (the Compose Build
// Specification). It is for `unitc build` and `unitc up`: no start builds anything.
type Build struct {
	// Context is a directory of the host, or an URL that the builder fetches.
	Context string
	// File is the Dockerfile, below the context unless absolute; "" = Dockerfile.
	File string
	// Inline is the Dockerfile itself, "" = it is a file.
	Inline     string
	Args       []Env // those without a value the builder has a default for
	Labels     []KeyValue
	ExtraHosts []Host
	Ulimits    []Ulimit
	Contexts   []KeyValue // further ones, by name: absolute paths or URLs
	Secrets    []Grant
	Tags       []string // further names of the image
	Platforms  []string
	CacheFrom  []string
	CacheTo    []string
	SSH        []string
	Target     string
	Network    string
	ShmSize    int64 // bytes, 0 = the builder's default
	NoCache    bool
	Pull       bool
	// Always has `unitc up` build also where the image is there (pull_policy: build).
	Always bool
}

// BuiltImage is what an image is called that is built and that no key names: Compose's
// own name for it, as one of this host.
func BuiltImage(service string) string {
	return "localhost/" + strings.ToLower(strings.TrimSuffix(service, "@"))
}
