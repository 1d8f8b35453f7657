// SPDX-License-Identifier: Apache-2.0

//go:build !lab

package layer

// millionFiles: a tenth of a million shows what grows; with the tag lab it is
// a whole one (seconds).
const millionFiles = 100_000
