// SPDX-License-Identifier: Apache-2.0

package postmortem

import "strings"

// refusal says in words what a security module has refused, and what to do. The
// record is one of the kernel's audit: AppArmor's fields are name="value", of
// SELinux the permissions stand in braces.
func refusal(record string) (what, cure string) {
	object := between(record, ` name="`, `"`)
	if object == "" {
		object = between(record, ` path="`, `"`)
	}
	if profile := between(record, `profile="`, `"`); strings.Contains(record, `apparmor="DENIED"`) && profile != "" {
		what = "AppArmor's profile " + profile + " refused " + between(record, `operation="`, `"`)
		rule := ""
		if object != "" {
			what += " of " + object
			if mask := between(record, `requested_mask="`, `"`); mask != "" && object[0] == '/' {
				rule = " (`" + object + " " + mask + ",`)"
			}
		}
		return what, "if it needs that, allow it in the profile" + rule + ", or choose another one by `security_opt: [apparmor=PROFILE]`"
	}
	if permissions := between(record, "denied  { ", " }"); permissions != "" {
		what = "SELinux refused " + permissions
		if class := between(record, "tclass=", " "); class != "" {
			what += " of a " + class
		}
		if object != "" {
			what += " named " + object
		}
		return what, "if it needs that, label the volume with `:z` or `:Z`, allow it by a policy module (`ausearch -m avc | audit2allow`), or write `security_opt: [label=disable]`"
	}
	return "", ""
}
