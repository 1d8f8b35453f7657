// SPDX-License-Identifier: Apache-2.0

package order

// The last checks of a payload, in the unit's directory below /run: files of this name and
// a number below HealthChecks, each with a line of four numbers, when the check began
// and ended (in microseconds since 1970), its exit status (-1 = it did not come to its
// end) and how many have failed in a row that count, and behind it what the check wrote.
const (
	HealthFile   = "health."
	HealthChecks = 5 // as many as Docker keeps
)
