// SPDX-License-Identifier: Apache-2.0

package image

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func (w *world) account(text string) Account {
	w.t.Helper()
	a, err := ParseAccount(text, w.client.RegistriesFile)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// Credentials are checked, kept as auth.json has them, and a pull goes by them.
func TestLogin(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	path := filepath.Join(t.TempDir(), "new/auth.json")
	a := w.account("https://" + w.host + "/v2/")
	if err := Keepable(path); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Check(ctx, user, "wrong"); !errors.Is(err, ErrCredentials) || strings.Contains(err.Error(), "wrong") {
		t.Errorf("a wrong password: %v", err)
	}
	if asked, err := a.Check(ctx, user, password); err != nil || !asked {
		t.Fatalf("the right password: %v, %v", asked, err)
	}
	if err := a.Login(ctx, path, user, password); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	w.client.AuthFile = path
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err != nil {
		t.Error(err)
	}
	if had, err := a.Logout(ctx, path); err != nil || !had {
		t.Errorf("logout: %v, %v", had, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file stays: %v", err)
	}
	if had, err := a.Logout(ctx, path); err != nil || had {
		t.Errorf("a second logout: %v, %v", had, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// A registry that refuses an image is answered with the verb that may help.
func TestRefusedPullNamesLogin(t *testing.T) {
	w := newWorld(t)
	ref := w.push("a", "1", simple(t))
	good := w.client.AuthFile
	w.client.AuthFile = w.write("none.json", "{}")
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err == nil || !strings.Contains(err.Error(), "`unitc login "+w.host+"`") {
		t.Errorf("without credentials: %v", err)
	}
	w.client.AuthFile = w.write("wrong.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, w.host, base64.StdEncoding.EncodeToString([]byte("a:b"))))
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err == nil || !strings.Contains(err.Error(), "not for whom "+w.client.AuthFile+" names: `unitc login "+w.host+"`") {
		t.Errorf("with others: %v", err)
	}
	wrong := w.client.AuthFile
	w.client.AuthFile = good
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	w.client.AuthFile = wrong
	if err := w.client.Push(ctx, ref, ref); err == nil || !strings.Contains(err.Error(), "`unitc login "+w.host+"` takes other credentials") {
		t.Errorf("a push: %v", err)
	}
}

// A registry with tokens is asked for one, and one that asks for nothing is told.
func TestLoginByToken(t *testing.T) {
	w := newWorld(t)
	open := false
	w.handler = func(rw http.ResponseWriter, r *http.Request) {
		u, p, basic := r.BasicAuth()
		switch {
		case r.URL.Path == "/token" && basic && (u != user || p != password):
			rw.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/token":
			fmt.Fprintf(rw, `{"token":"of-%s"}`, u)
		case open || r.Header.Get("Authorization") == "Bearer of-"+user:
			rw.WriteHeader(http.StatusOK)
		default:
			rw.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="test"`, w.server.URL))
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}
	a := w.account(w.host)
	if asked, err := a.Check(ctx, user, password); err != nil || !asked {
		t.Errorf("the right password: %v, %v", asked, err)
	}
	if _, err := a.Check(ctx, user, "wrong"); !errors.Is(err, ErrCredentials) {
		t.Errorf("a wrong password: %v", err)
	}
	open = true
	if asked, err := a.Check(ctx, user, "any"); err != nil || asked {
		t.Errorf("a registry for everybody: %v, %v", asked, err)
	}
}

// What somebody may call a registry, and what it is filed under.
func TestParseAccount(t *testing.T) {
	w := newWorld(t)
	w.client.RegistriesFile = w.write("registries.conf", "[[registry]]\nprefix = \"moved.test\"\nlocation = \"there.test:5000/proxy\"\n[[registry.mirror]]\nlocation = \"mirror.test\"\n[[registry]]\nprefix = \"no.test\"\nblocked = true\n")
	for text, want := range map[string]string{
		"docker.io": "docker.io", "https://index.docker.io/v1/": "docker.io", "registry-1.docker.io": "docker.io", "localhost:5000": "localhost:5000",
		"http://quay.io/": "quay.io", "quay.io/org/team": "quay.io/org/team", "moved.test": "there.test:5000/proxy", "[::1]:5000": "[::1]:5000",
		"org": "want a host", "org/app": "want a host", "quay.io/org:1": "its registry is quay.io", "quay.io/org:latest": "its registry is quay.io",
		"no.test": "blocked", "": "", "-x": "", "a b": "", "quay.io/../x": "", "user@quay.io": "",
	} {
		a, err := ParseAccount(text, w.client.RegistriesFile)
		switch {
		case err != nil && (want == a.Key || strings.Contains(err.Error(), want)) && !strings.Contains(want, ".io/"):
		case err != nil || a.Key != want:
			t.Errorf("%q: %q, %v; want %q", text, a.Key, err, want)
		}
	}
}

// What others have written stays, entries of old versions too, and of the file its owner.
func TestLoginKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/auth.json"
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chown(path, 1500, 1500)); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"auths":{"quay.io":{"auth":"YTpi","email":"x"},"https://index.docker.io/v1/":{"auth":"b2xkOm9sZA=="}},"HttpHeaders":{"A":"b"},"detachKeys":"ctrl-x"}`)
	link := dir + "/link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	a, err := ParseAccount("docker.io", "/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Login(ctx, link, "me", "a:b\"\u00e9"); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Uid != 1500 || st.Gid != 1500 || st.Mode&0o777 != 0o600 {
		t.Errorf("%+v, %v", st, err)
	}
	if target, err := os.Readlink(link); err != nil || target != path {
		t.Errorf("the link is %q, %v", target, err)
	}
	data, _ := os.ReadFile(path)
	var d struct {
		Auths       map[string]map[string]string `json:"auths"`
		HTTPHeaders map[string]string            `json:"HttpHeaders"`
		Keys        string                       `json:"detachKeys"`
	}
	if err := json.Unmarshal(data, &d); err != nil || d.Auths["quay.io"]["email"] != "x" || d.HTTPHeaders["A"] != "b" || d.Keys != "ctrl-x" {
		t.Errorf("%v: %s", err, data)
	}
	show, from, err := credentials(ctx, path, "docker.io", "library/x")
	if err != nil || from != path {
		t.Fatal(err)
	}
	if c, err := show.Authorization(); err != nil || c.Username != "me" || c.Password != "a:b\"\u00e9" {
		t.Errorf("%+v, %v", c, err)
	}
	if had, err := a.Logout(ctx, path); err != nil || !had {
		t.Errorf("%v, %v", had, err)
	}
	if keys, err := Kept(path); err != nil || strings.Join(keys, " ") != "quay.io" {
		t.Errorf("left: %q, %v", keys, err)
	}
	if keys, err := LogoutAll(ctx, path); err != nil || len(keys) != 1 {
		t.Errorf("%q, %v", keys, err)
	}
	if data, _ := os.ReadFile(path); strings.Contains(string(data), "auths") || !strings.Contains(string(data), "ctrl-x") {
		t.Errorf("left: %s", data)
	}
}

// A file that cannot be read for what it is stays as it is.
func TestLoginRefusesOddFiles(t *testing.T) {
	dir := t.TempDir()
	a, err := ParseAccount("quay.io", "/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	odd := map[string]func(path string) error{
		"no json":  func(p string) error { return os.WriteFile(p, []byte("auths: {}"), 0o600) },
		"a list":   func(p string) error { return os.WriteFile(p, []byte(`{"auths":[]}`), 0o600) },
		"a fifo":   func(p string) error { return unix.Mkfifo(p, 0o600) },
		"a mask":   func(p string) error { return os.Symlink("/dev/null", p) },
		"a folder": func(p string) error { return os.Mkdir(p, 0o700) },
	}
	for name, create := range odd {
		path := filepath.Join(dir, name)
		if err := create(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		for what, err := range map[string]error{"asking": Keepable(path), "login": a.Login(ctx, path, "a", "b")} {
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s was replaced: %v", name, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != len(odd) {
		t.Errorf("left over: %v", left)
	}
	for _, text := range []string{"", "null", "{}", `{"auths":null}`} {
		path := dir + "/empty"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Login(ctx, path, "a", "b"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Credentials go to the helper that the file names, and none of them into the file.
func TestLoginWithHelper(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	script := fmt.Sprintf("#!/bin/sh\ncat > %s/$1\n[ $1 != get ] || echo '{\"Username\":\"a\",\"Secret\":\"b\"}'\n", dir)
	if err := os.WriteFile(dir+"/docker-credential-box", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	path := dir + "/auth.json"
	for _, text := range []string{`{"credsStore":"box"}`, `{"credHelpers":{"https://quay.io":"box"}}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := ParseAccount("quay.io", "/nonexistent")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Login(ctx, path, "me", "hidden"); err != nil {
			t.Fatal(err)
		}
		if data, _ := os.ReadFile(dir + "/store"); !strings.Contains(string(data), `"Secret":"hidden"`) || !strings.Contains(string(data), "quay.io") {
			t.Errorf("the helper was told %s", data)
		}
		if data, _ := os.ReadFile(path); strings.Contains(string(data), "bWU6") {
			t.Errorf("the file has %s", data)
		}
		if _, from, err := credentials(ctx, path, "quay.io", "x"); err != nil || from != path {
			t.Errorf("from %q: %v", from, err)
		}
		if had, err := a.Logout(ctx, path); err != nil || !had {
			t.Errorf("%s: %v, %v", text, had, err)
		}
		if _, err := os.Stat(dir + "/erase"); err != nil {
			t.Error(err)
		}
		_ = os.Remove(dir + "/erase")
	}
}

// Several at once lose nothing of each other's.
func TestLoginsAtOnce(t *testing.T) {
	path := t.TempDir() + "/auth.json"
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			a, err := ParseAccount(fmt.Sprintf("r%d.test", i), "/nonexistent")
			if err == nil {
				err = a.Login(ctx, path, "a", "b")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if keys, err := Kept(path); err != nil || len(keys) != 20 {
		t.Errorf("%q, %v", keys, err)
	}
}
