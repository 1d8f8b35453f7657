// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// No layer comes before another one is asked for: one at a time would wait for
// ever.
func TestPullInParallel(t *testing.T) {
	w := newWorld(t)
	b := build(t, gz, tarOf(t, file{name: "a", content: "1"}), tarOf(t, file{name: "b", content: "2"}), tarOf(t, file{name: "c", content: "3"}))
	ref := w.push("a", "1", b)
	all := make(chan struct{})
	var mu sync.Mutex
	waiting := map[string]bool{}
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		for _, l := range b.layers {
			if !strings.HasSuffix(r.URL.Path, digestOf(l)) {
				continue
			}
			mu.Lock()
			if !waiting[r.URL.Path] && len(waiting) == parallelLayers-1 {
				close(all)
			}
			waiting[r.URL.Path] = true
			mu.Unlock()
			select {
			case <-all:
			case <-time.After(time.Minute):
				t.Error("only some of the layers were asked for")
			}
		}
		return false
	})
	img, err := w.client.Pull(ctx, ref, PullOptions{})
	if err != nil || read(t, img, "a")+read(t, img, "b")+read(t, img, "c") != "123" {
		t.Error(err)
	}
}

type laterError time.Duration

func (e laterError) Error() string             { return "later" }
func (e laterError) retryAfter() time.Duration { return time.Duration(e) }

// The shortest that each pause may be doubles, and no pause is shorter than what
// the registry asks for.
func TestPausesGrow(t *testing.T) {
	took := func(try int, err error) time.Duration {
		t.Helper()
		begin := time.Now()
		if err := pause(ctx, try, err); err != nil {
			t.Fatal(err)
		}
		return time.Since(begin)
	}
	for try := 1; try < maxTries; try++ {
		if got, want := took(try, errors.New("busy")), firstPause<<(try-1); got < want {
			t.Errorf("before try %d it waits for %v, not %v", try+1, got, want)
		}
	}
	if got := took(1, fmt.Errorf("busy: %w", laterError(100*time.Millisecond))); got < 100*time.Millisecond {
		t.Errorf("with Retry-After it waits for %v", got)
	}
}

// Credentials in each of the usual files are found, each alone.
func TestCredentialsInUsualPlaces(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	w.client.AuthFile = ""
	key := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	content := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.host, key)
	places := []struct{ variable, value, file string }{
		{"REGISTRY_AUTH_FILE", "own.json", "own.json"}, {"CREDENTIALS_DIRECTORY", "creds", "creds/registry-auth"},
		{"XDG_RUNTIME_DIR", "run", "run/containers/auth.json"}, {"XDG_CONFIG_HOME", "conf", "conf/containers/auth.json"},
		{"HOME", "home", "home/.config/containers/auth.json"}, {"DOCKER_CONFIG", "docker", "docker/config.json"}, {"HOME", "home2", "home2/.docker/config.json"},
	}
	for _, place := range places {
		dir := t.TempDir()
		for _, p := range places {
			t.Setenv(p.variable, "")
		}
		t.Setenv("HOME", dir)
		if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err == nil {
			t.Fatal("a pull without a password")
		}
		t.Setenv(place.variable, filepath.Join(dir, place.value))
		path := filepath.Join(dir, place.file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err != nil {
			t.Errorf("%s of %s: %v", place.file, place.variable, err)
		}
	}
}
