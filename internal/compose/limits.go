// SPDX-License-Identifier: Apache-2.0

package compose

// Limits on what a file may make us do. Real definitions are two orders of
// magnitude below each of them; together they bound the memory of one file to
// about 100 MiB and its time to well under a second.
const (
	// maxLayer is the size of one file in bytes.
	maxLayer = 1 << 20
	// maxLayers is the number of files that make one definition.
	maxLayers = 256
	// maxPunctuation bounds the nodes that yaml.v3 can make of a file before we
	// can count them: each needs one of the bytes that begin or part values.
	maxPunctuation = 200_000
	// maxNodes is the number of values in one file after aliases are expanded.
	maxNodes = 100_000
	// maxDepth is the nesting of values.
	maxDepth = 64
	// maxItems is the length of one list or mapping unless its table says else.
	maxItems = 4096
	// maxScalar is the length of one string in bytes.
	maxScalar = 256 << 10
	// maxProblems is the number of errors that are shown, and of warnings; a file that
	// has more errors is not a definition.
	maxProblems = 100
	// maxInstances bounds the units that one file makes by scale:.
	maxInstances = 1000
)
