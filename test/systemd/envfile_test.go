// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"testing"
)

// What a payload gets of .env, of NAME.env, of env_file: and of environment:, as
// from Compose.
func TestVariablesOfPayload(t *testing.T) {
	cleanReload(t)
	dir := t.TempDir()
	place(t, definitions+".env", "TZ=utc\nHOST=dot\n")
	place(t, definitions+"vars.env", "HOST=own.$TZ\n")
	t.Cleanup(func() { os.Remove(definitions + "vars") }) // empty by then
	place(t, definitions+"vars/a.env", "URL=http://$HOST:${PORT:-80}/$\nTZ\nGONE\nPASSWORD=#1\n")
	place(t, definitions+"vars.yaml", "rootfs: host\nenv_file: vars/a.env\nenvironment: [HOST, NOBODY, PORT=8080, 'HASH=$2y$10$$x']\nvolumes: ['"+dir+":/out']\n"+
		"command: [sh, -c, 'env | grep -E \"^(URL|TZ|GONE|PASSWORD|HOST|NOBODY|PORT|HASH)\" | sort >/out/env']\n")
	reload(t)
	must(t, "systemctl", "start", "vars")
	const want = "HASH=$2y$10$x\nHOST=own.utc\nPASSWORD=#1\nPORT=8080\nTZ=utc\nURL=http://own.utc:8080/$\n"
	if err := eventually(func() error {
		if data, _ := os.ReadFile(dir + "/env"); string(data) != want {
			return fmt.Errorf("the payload has\n%s\nwant\n%s", data, want)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
