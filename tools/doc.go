// SPDX-License-Identifier: Apache-2.0

// Package tools pins the programs that check this repository, in a module of
// its own so that what they depend on is not what unitc depends on.
package tools
