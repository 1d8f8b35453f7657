// SPDX-License-Identifier: Apache-2.0

package enter

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOwnIDs(t *testing.T) {
	dir := t.TempDir()
	files := func(uids, gids string) {
		subuidFile, subgidFile = filepath.Join(dir, "subuid"), filepath.Join(dir, "subgid")
		for path, text := range map[string]string{subuidFile: uids, subgidFile: gids} {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { subuidFile, subgidFile = "/etc/subuid", "/etc/subgid" })
	files("other:1:65536\n# x\n4711:100000:65000\nroot:0:65536\n4711:200000:1000\n4711:-1:5\n4711:300000:x\n4711:4294967290:100\n", "4711:100000:65536\n")
	ids, err := OwnIDs(4711)
	if err != nil || !slices.Equal(ids.UIDs, []Range{{100000, 65000}, {200000, 1000}}) || !slices.Equal(ids.GIDs, []Range{{100000, 65536}}) {
		t.Errorf("%v: %v", ids, err)
	}
	if got := strings.Join(mapping(4711, ids.UIDs), " "); got != "0 4711 1 1 100000 65000 65001 200000 1000" {
		t.Errorf("the map is %q", got)
	}
	var few *FewError
	files("4711:100000:65536\n", "4711:100000:1000\n")
	if _, err := OwnIDs(4711); !errors.As(err, &few) || few.File != subgidFile || few.Count != 1000 || !strings.Contains(err.Error(), "usermod --add-subuids") {
		t.Errorf("of too few groups: %v", err)
	}
	if err := os.Remove(subuidFile); err != nil {
		t.Fatal(err)
	}
	if _, err := OwnIDs(4711); !errors.As(err, &few) || few.Count != 0 {
		t.Errorf("without a file: %v", err)
	}
}
