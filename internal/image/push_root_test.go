// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"
)

func TestPush(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	if _, err := w.client.Load(ctx, writeDir(t, layoutOf(t, b, map[string]string{annotationImageName: "localhost/a:1"})), LoadOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.client.Push(ctx, "localhost/a:1", w.host+"/org/a:2"); err != nil {
		t.Fatal(err)
	}
	other := newClient(t)
	other.AuthFile, other.RegistriesFile = w.client.AuthFile, w.client.RegistriesFile
	img, err := other.Pull(ctx, w.host+"/org/a:2", PullOptions{})
	if err != nil || img.Digest != b.digest() || read(t, img, "etc/conf") != "new" {
		t.Errorf("pulling what was pushed: %v", err)
	}
	w.client.AuthFile = w.write("none.json", "{}")
	if err := w.client.Push(ctx, "localhost/a:1", w.host+"/org/a:3"); err == nil || !strings.Contains(err.Error(), "UNAUTHORIZED") && !strings.Contains(err.Error(), "401") {
		t.Errorf("without a password: %v", err)
	}
}
