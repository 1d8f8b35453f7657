// SPDX-License-Identifier: Apache-2.0

package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// side is a directory in the place of a container's root.
func side(t *testing.T, dir string) *Side {
	t.Helper()
	root, err := openRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return &Side{root: root, name: "web:"}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.Symlink(target, path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyTo(t *testing.T, from *Side, path string, to *Side, dest string, o Options) error {
	t.Helper()
	if o.Warn == nil {
		o.Warn = func(what string) { t.Log(what) }
	}
	src, err := from.Source(path, false)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Destination(dest, src)
	if err != nil {
		return err
	}
	defer dst.Close()
	return Copy(context.Background(), src, dst, o)
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// The names that docker cp gives.
func TestNames(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"/f", "/dir", "dir/f"},
		{"/f", "/dir/", "dir/f"},
		{"/f", "/new", "new"},
		{"/f", "/old", "old"},
		{"/tree", "/dir", "dir/tree/sub/f"},
		{"/tree", "/new", "new/sub/f"},
		{"/tree/", "/new", "new/sub/f"},
		{"/tree/.", "/dir", "dir/sub/f"},
		{"/tree/.", "/new", "new/sub/f"},
		{"/tree/sub/../sub/f", "/dir", "dir/f"},
	} {
		from, to := t.TempDir(), t.TempDir()
		write(t, from+"/f", "content")
		write(t, from+"/tree/sub/f", "content")
		write(t, to+"/dir/other", "other")
		write(t, to+"/old", "before")
		if err := copyTo(t, side(t, from), c.from, side(t, to), c.to, Options{}); err != nil {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
			continue
		}
		if got := text(t, to+"/"+c.want); got != "content" {
			t.Errorf("%s to %s: %s has %q", c.from, c.to, c.want, got)
		}
		if text(t, to+"/dir/other") != "other" {
			t.Errorf("%s to %s: what was there is gone", c.from, c.to)
		}
	}
	from, to := t.TempDir(), t.TempDir()
	write(t, from+"/f", "x")
	write(t, from+"/tree/f", "x")
	write(t, to+"/old", "before")
	for _, c := range []struct {
		from, to string
		want     error
	}{{"/none", "/", unix.ENOENT}, {"/f", "/no/such", unix.ENOENT}, {"/f", "/new/", unix.ENOENT}, {"/tree", "/old", unix.ENOTDIR}, {"/f", "/old/x", unix.ENOTDIR}} {
		if err := copyTo(t, side(t, from), c.from, side(t, to), c.to, Options{}); !errors.Is(err, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, err, c.want)
		}
	}
}

// Modes, times, links and hard links arrive; what a container calls
// set-user-ID does not.
func TestWhatArrives(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write(t, from+"/t/f", "x")
	link(t, "/etc/passwd", from+"/t/l")
	old := time.Unix(1e9, 5000)
	for _, err := range []error{
		os.Link(from+"/t/f", from+"/t/g"), unix.Mkfifo(from+"/t/p", 0o600),
		os.Chmod(from+"/t/f", 0o755|os.ModeSetuid), os.Chtimes(from+"/t/f", old, old),
		os.Chmod(from+"/t", 0o700), os.Chtimes(from+"/t", old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := copyTo(t, side(t, from), "/t", side(t, to), "/", Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Lstat(to + "/t/f")
	if err != nil || f.Mode() != 0o755 || !f.ModTime().Equal(old) {
		t.Errorf("%v %v", f, err)
	}
	if g, err := os.Lstat(to + "/t/g"); err != nil || !os.SameFile(f, g) {
		t.Errorf("the second name is another file: %v", err)
	}
	if d, err := os.Lstat(to + "/t"); err != nil || d.Mode() != os.ModeDir|0o700 || !d.ModTime().Equal(old) {
		t.Errorf("%v %v", d, err)
	}
	if target, err := os.Readlink(to + "/t/l"); target != "/etc/passwd" {
		t.Errorf("%q %v", target, err)
	}
	if p, err := os.Lstat(to + "/t/p"); err != nil || p.Mode().Type() != os.ModeNamedPipe {
		t.Errorf("%v %v", p, err)
	}
	if err := copyTo(t, side(t, from), "/t/f", side(t, to), "/kept", Options{Archive: true}); err != nil {
		t.Fatal(err)
	}
	if k, err := os.Lstat(to + "/kept"); err != nil || k.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("%v %v", k, err)
	}
}

// No link in a container leads to the host's files, to read or to write.
func TestLinksStayInside(t *testing.T) {
	host, root, out := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, host+"/secret", "the host's")
	write(t, root+"/data/f", "x")
	link(t, host, root+"/abs")
	link(t, "../../../../../../../../.."+host, root+"/rel")
	link(t, host, root+"/data/down")
	write(t, out+"/new", "from outside")
	c, o := side(t, root), side(t, out)
	for _, path := range []string{"/abs/secret", "/rel/secret", "/data/down/secret", "/../../../../.." + host + "/secret", "/proc/self/root/etc/passwd"} {
		if err := copyTo(t, c, path, o, "/got", Options{}); err == nil {
			t.Errorf("%s was read: %q", path, text(t, out+"/got"))
		}
	}
	for _, path := range []string{"/abs/new", "/rel", "/abs", "/data/down"} {
		// It may fail, or end somewhere in the root; the host's stays as it is.
		_ = copyTo(t, o, "/new", c, path, Options{})
	}
	// A link in the place of a directory of the tree is replaced, not followed.
	write(t, out+"/data/down/secret", "overwritten")
	if err := copyTo(t, o, "/data", c, "/", Options{}); err != nil {
		t.Error(err)
	}
	if names, _ := filepath.Glob(host + "/*"); len(names) != 1 || text(t, host+"/secret") != "the host's" {
		t.Errorf("the host's directory has %q", names)
	}
}

// While a copy runs, a directory of the container is swapped for a link to the
// host's, over and over.
func TestRacingLinks(t *testing.T) {
	host, root, out := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, root+"/a/b/f", "inside")
	link(t, host, root+"/evil")
	write(t, out+"/a/b/f", "outside")
	var stop atomic.Bool
	swapped := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			_ = unix.Renameat2(unix.AT_FDCWD, root+"/a/b", unix.AT_FDCWD, root+"/evil", unix.RENAME_EXCHANGE)
		}
		swapped <- n
	}()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if _, err := os.Readlink(root + "/a/b"); err != nil {
			// The copy puts a directory in the place of a link: there has to be one.
			if _, err := os.Readlink(root + "/evil"); err != nil {
				_ = os.RemoveAll(root + "/evil")
				_ = os.Symlink(host, root+"/evil")
			}
		}
		_ = copyTo(t, side(t, out), "/a", side(t, root), "/", Options{Warn: func(string) {}})
		_ = copyTo(t, side(t, out), "/a/b/f", side(t, root), "/a/b/f", Options{})
		if names, _ := filepath.Glob(host + "/*"); len(names) > 0 {
			t.Fatalf("a copy escaped: %q", names)
		}
	}
	stop.Store(true)
	if n := <-swapped; n < 100 {
		t.Errorf("only %d swaps: this saw nothing", n)
	}
}

// A tar from anywhere may hold any names.
func TestHostileTar(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []tar.Header{
		{Name: "l", Typeflag: tar.TypeSymlink, Linkname: outside},
		{Name: "../../../../../.." + outside + "/dotdot", Typeflag: tar.TypeReg, Size: 1},
		{Name: outside + "/absolute", Typeflag: tar.TypeReg, Size: 1},
		{Name: "dev", Typeflag: tar.TypeBlock, Devmajor: 8},
	} {
		h.Mode = 0o4777
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			io.WriteString(w, "x")
		}
	}
	w.Close()
	var warned []string
	dst, err := side(t, root).Destination("/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpack(context.Background(), &b, dst, Options{Warn: func(s string) { warned = append(warned, s) }}); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(outside + "/*"); len(names) > 0 {
		t.Errorf("outside there is %q", names)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "dev is left out") {
		t.Errorf("warnings: %q", warned)
	}
	// Through the link that came first, nothing goes.
	b.Reset()
	w = tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "l/through", Typeflag: tar.TypeReg})
	w.Close()
	if err := Unpack(context.Background(), &b, dst, Options{}); !errors.Is(err, unix.ELOOP) {
		t.Errorf("through a link: %v", err)
	}
}

// A copy that is interrupted, or whose tar breaks off, leaves no half file.
func TestNoHalfFile(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/f", "before")
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: 1 << 20, Mode: 0o600})
	w.Write(make([]byte, 1<<19))
	w.Flush()
	dst, err := side(t, root).Destination("/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Unpack(context.Background(), &b, dst, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a tar that breaks off: %v", err)
	}
	items, _ := os.ReadDir(root)
	if len(items) != 1 || text(t, root+"/f") != "before" {
		t.Errorf("%v, and in f %q", items, text(t, root+"/f"))
	}
}

func TestIDs(t *testing.T) {
	m := &idmap{uids: []idRange{{0, 100000, 1000}, {2000, 5, 1}}, gids: []idRange{{0, 100000, 65536}}}
	if u, g := m.toInside(100033, 165535); u != 33 || g != 65535 {
		t.Errorf("%d:%d", u, g)
	}
	if u, _ := m.toInside(0, 0); u != overflow {
		t.Errorf("the host's root is %d inside", u)
	}
	if u, g, err := m.toOutside(2000, 1); u != 5 || g != 100001 || err != nil {
		t.Errorf("%d:%d %v", u, g, err)
	}
	if _, _, err := m.toOutside(1500, 0); err == nil {
		t.Error("an id that is not mapped has an owner")
	}
}

func TestTarOfASource(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/d/f", "x")
	src, err := side(t, root).Source("/d", false)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var b bytes.Buffer
	if err := Pack(context.Background(), &b, src, src.Name(), Options{}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"d/", "d/f"}) {
		t.Errorf("%q", names)
	}
}

// A device, a socket or a FIFO keeps its place, whatever is copied there.
func TestDevicesKeepTheirPlace(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/from/fifo", "x")
	write(t, root+"/from/dir/file", "x")
	if err := os.Mkdir(root+"/to", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(root+"/to/fifo", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(root+"/to/dir", 0o600); err != nil {
		t.Fatal(err)
	}
	s := side(t, root)
	for _, from := range []string{"/from/fifo", "/from/dir"} {
		if err := copyTo(t, s, from, s, "/to", Options{}); err == nil || !strings.Contains(err.Error(), "which no copy replaces") {
			t.Errorf("%s: %v", from, err)
		}
		if st, err := os.Lstat(root + "/to" + strings.TrimPrefix(from, "/from")); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
			t.Errorf("%s: what was there is %v, %v", from, st, err)
		}
	}
	// A FIFO takes the place of one, so that a copy may be made again.
	if err := os.MkdirAll(root+"/again", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := copyTo(t, s, "/to/fifo", s, "/again", Options{}); err != nil {
			t.Error(err)
		}
	}
}
