// SPDX-License-Identifier: Apache-2.0

package cgroupfs

import (
	"fmt"
	"strings"

	"github.com/unitc/unitc/internal/realm"
)

// OwnRoot is the cgroup in which systemd has its slices: "" for the system's, the
// service of their own systemd for a user.
func OwnRoot() string {
	u := realm.Own()
	if u == nil {
		return ""
	}
	unit := fmt.Sprintf("user@%d.service", u.UID)
	if group, err := Of("self"); err == nil {
		if before, _, ok := strings.Cut(group, "/"+unit+"/"); ok {
			return before + "/" + unit // below a container's or a lab's root it is elsewhere
		}
	}
	return fmt.Sprintf("/user.slice/user-%d.slice/%s", u.UID, unit)
}
