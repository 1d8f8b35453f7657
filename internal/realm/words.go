// SPDX-License-Identifier: Apache-2.0

package realm

import "strings"

// Words makes the commands in a message for the operator those that the user has to
// give: the messages are written for root.
func Words(text string) string {
	if own == nil {
		return text
	}
	for _, word := range []string{"systemctl", "journalctl", "unitc"} {
		for _, before := range []string{"`", "(", ": ", "; ", "with "} {
			text = strings.ReplaceAll(text, before+word+" --user ", before+word+" ")
			text = strings.ReplaceAll(text, before+word+" ", before+word+" --user ")
		}
	}
	text = strings.ReplaceAll(text, "/run is full: look with `df /run` and `df -i /run`", "XDG_RUNTIME_DIR is full: look with `df "+own.Runtime+"` and `df -i "+own.Runtime+"`")
	// What root alone can do.
	for _, before := range []string{"as root: ", "as root: `"} {
		text = strings.ReplaceAll(text, before+"systemctl --user ", before+"systemctl ")
	}
	return strings.ReplaceAll(text, "systemctl --user edit user@.service", "systemctl edit user@.service")
}
