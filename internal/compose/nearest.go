// SPDX-License-Identifier: Apache-2.0

package compose

// Nearest is the word most like the given one, "" if none is near: names of
// definitions are mistyped as keys are, and one notion of nearness is enough.
func Nearest(word string, words []string) string { return nearest(word, words) }
