// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"path"
	"slices"
	"strings"
)

// VolumeMounts is where the volumes that are file systems of their own are
// mounted, each at its name.
const VolumeMounts = "/run/unitc-volumes"

// Option is one of driver_opts.
func (v *NamedVolume) Option(key string) string {
	for _, o := range v.Options {
		if o.Key == key {
			return o.Value
		}
	}
	return ""
}

// BindSource is the directory of the host that stands for the volume
// (driver_opts `o: bind`), "" if none does.
func (v *NamedVolume) BindSource() string {
	kind, words := v.Option("type"), strings.Split(v.Option("o"), ",")
	if len(v.Options) == 0 || !path.IsAbs(v.Option("device")) {
		return ""
	}
	if kind == "" || kind == "none" || kind == "bind" || slices.Contains(words, "bind") || slices.Contains(words, "rbind") {
		return v.Option("device")
	}
	return ""
}

// MountPoint is where the volume is mounted if its options ask for a file
// system of its own, "" if they do not. Its mount unit makes the mount, in the
// host's network and with mount(8)'s helpers; it is there while it is used.
func (v *NamedVolume) MountPoint() string {
	if v == nil || v.External || v.Option("type")+v.Option("device") == "" || v.BindSource() != "" {
		return "" // a size is one of the store's directory
	}
	return VolumeMounts + "/" + v.Name
}
