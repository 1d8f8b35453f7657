// SPDX-License-Identifier: Apache-2.0

// Package importlaw is the direction of imports, as a test: what a room may not
// reach, directly or through others, and why. A new arrow is a reviewed line
// there. The package itself has no code.
package importlaw
