// SPDX-License-Identifier: Apache-2.0

package generator

// idleTimer is a unit of the package's: a timer whose file goes with a definition while
// it is active has failed.
const idleTimer = "unitc-idle.timer"

func (t *translation) idles() bool {
	return !t.broken && t.service != nil && t.service.IdleTimeout > 0
}

// idleDependency has somebody look while the container is there.
func (t *translation) idleDependency() {
	if t.idles() {
		t.w.Set("Wants", idleTimer)
	}
}
