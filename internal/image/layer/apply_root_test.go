// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests need root: they chown, mknod and set trusted attributes, as every
// unpacking does. TMPDIR must be on a file system with attributes.

func TestMain(m *testing.M) { os.Exit(privately(m)) }

// privately runs the tests in a mount namespace of their own: they mount.
func privately(m *testing.M) int {
	if os.Getenv("UNITC_TEST_PRIVATE") != "" {
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "UNITC_TEST_PRIVATE=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "these tests need root: %v\n", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

var then = time.Unix(1700000000, 123456789)

// e makes a header: "d name", "f name content", "l name target", "h name
// target", "w name" (a whiteout is an empty file), "c name".
func e(kind, name string, arg ...string) *tar.Header {
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: then, Format: tar.FormatPAX}
	switch kind {
	case "d":
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	case "f":
		h.Typeflag = tar.TypeReg
	case "l":
		h.Typeflag = tar.TypeSymlink
	case "h":
		h.Typeflag = tar.TypeLink
	case "c":
		h.Typeflag = tar.TypeChar
	case "b":
		h.Typeflag = tar.TypeBlock
	case "p":
		h.Typeflag = tar.TypeFifo
	}
	if len(arg) > 0 {
		h.Linkname = arg[0]
	}
	return h
}

func archive(t testing.TB, entries ...*tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		h, content := *h, ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// unpack applies entries over the lowers and gives the directory.
func unpack(t testing.TB, opts Options, entries ...*tar.Header) (string, Result, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	res, err := Apply(context.Background(), root, archive(t, entries...), opts)
	return dir, res, err
}

// list prints a tree, one entry a line.
func list(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := strings.TrimPrefix(path, dir+"/")
		switch {
		case isWhiteout(&st):
			line += " gone"
		case d.IsDir():
			line += "/"
			if v, err := lgetxattr(path, opaqueTrusted); err == nil && v == "y" {
				line += " opaque"
			}
		case d.Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			line += " -> " + target
		case d.Type().IsRegular():
			content, _ := os.ReadFile(path)
			line += "=" + string(content)
			if st.Nlink > 1 {
				line += fmt.Sprintf(" x%d", st.Nlink)
			}
		default:
			line += " " + d.Type().String()
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func lgetxattr(path, name string) (string, error) {
	buf := make([]byte, 256)
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func TestApply(t *testing.T) {
	for _, tc := range []struct {
		name    string
		entries []*tar.Header
		want    []string
	}{
		{"plain", []*tar.Header{e("d", "./"), e("d", "./a/"), e("f", "./a/b", "x"), e("l", "./l", "a/b"), e("h", "./h", "./a/b"), e("p", "p")},
			[]string{"a/", "a/b=x x2", "h=x x2", "l -> a/b", "p p---------"}},
		{"no parents", []*tar.Header{e("f", "a/b/c", "x")}, []string{"a/", "a/b/", "a/b/c=x"}},
		{"absolute names", []*tar.Header{e("f", "/a", "x"), e("h", "/b", "/a")}, []string{"a=x x2", "b=x x2"}},
		{"the last of equal names counts", []*tar.Header{e("f", "a", "1"), e("f", "a", "2")}, []string{"a=2"}},
		{"a file replaces a directory", []*tar.Header{e("d", "a"), e("f", "a/b/c", "1"), e("f", "a", "2")}, []string{"a=2"}},
		{"a directory replaces a file", []*tar.Header{e("f", "a", "1"), e("d", "a"), e("f", "a/b", "2")}, []string{"a/", "a/b=2"}},
		{"a directory twice keeps its content", []*tar.Header{e("d", "a"), e("f", "a/b", "1"), e("d", "a")}, []string{"a/", "a/b=1"}},
		{"a directory replaces a link", []*tar.Header{e("d", "x"), e("f", "x/k", "1"), e("l", "a", "x"), e("d", "a"), e("f", "a/b", "2")},
			[]string{"a/", "a/b=2", "x/", "x/k=1"}},
		{"a linked parent is followed inside", []*tar.Header{e("d", "usr/lib"), e("l", "lib", "usr/lib"), e("f", "lib/x", "1")},
			[]string{"lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x=1"}},
		{"an absolute linked parent too", []*tar.Header{e("l", "a", "/etc"), e("f", "a/passwd", "1")},
			[]string{"a -> /etc", "etc/", "etc/passwd=1"}},
		{"and one that climbs", []*tar.Header{e("l", "a", "../../../../etc"), e("f", "a/passwd", "1"), e("h", "h", "a/passwd")},
			[]string{"a -> ../../../../etc", "etc/", "etc/passwd=1 x2", "h=1 x2"}},
		{"back and forth", []*tar.Header{e("d", "a/b"), e("l", "a/l", "../c"), e("f", "a/l/x", "1"), e("f", "a/b/y", "2")},
			[]string{"a/", "a/b/", "a/b/y=2", "a/l -> ../c", "c/", "c/x=1"}},
		{"hard link to a link", []*tar.Header{e("l", "l", "nowhere"), e("h", "m", "l")}, []string{"l -> nowhere", "m -> nowhere"}},
		{"hard link to itself", []*tar.Header{e("f", "a", "1"), e("h", "a", "./a")}, []string{"a=1"}},
		{"odd names", []*tar.Header{e("f", "a\nb", "1"), e("f", "\xff\xfe", "2"), e("f", "a b", "3"), e("f", "-rf", "4"), e("f", "...", "5")},
			[]string{"-rf=4", "...=5", "a\nb=1", "a b=3", "\xff\xfe=2"}},
		{"whiteouts", []*tar.Header{e("d", "a"), e("f", "a/.wh.x"), e("f", ".wh.y")}, []string{"a/", "a/x gone", "y gone"}},
		{"a whiteout spares its own layer's file", []*tar.Header{e("f", "x", "1"), e("f", ".wh.x"), e("f", ".wh.y"), e("f", "y", "2")}, []string{"x=1", "y=2"}},
		{"a whiteout under a directory makes it opaque", []*tar.Header{e("f", ".wh.x"), e("d", "x"), e("f", "x/a", "1"), e("d", "y"), e("f", ".wh.y"), e("f", "y/b", "2")},
			[]string{"x/ opaque", "x/a=1", "y/ opaque", "y/b=2"}},
		{"opaque before and after content", []*tar.Header{e("d", "a"), e("f", "a/.wh..wh..opq"), e("f", "a/x", "1"), e("d", "b"), e("f", "b/x", "2"), e("f", "b/.wh..wh..opq")},
			[]string{"a/ opaque", "a/x=1", "b/ opaque", "b/x=2"}},
		{"opaque survives a second mention", []*tar.Header{e("d", "a"), e("f", "a/.wh..wh..opq"), e("f", "z", ""), e("d", "a"), e("f", "a/x", "1")}, []string{"a/ opaque", "a/x=1", "z="}},
		{"aufs files", []*tar.Header{e("f", ".wh..wh.aufs"), e("f", ".wh..wh.plnk/1.2")}, []string{".wh..wh.plnk/", ".wh..wh.plnk/1.2="}},
		{"a whiteout behind a link", []*tar.Header{e("l", "a", "/etc"), e("f", "a/.wh.passwd")}, []string{"a -> /etc", "etc/", "etc/passwd gone"}},
		{"devices", []*tar.Header{dev(e("c", "null"), 1, 3), dev(e("b", "sda"), 8, 0), dev(e("c", "mem"), 1, 1), dev(e("c", "forged"), 0, 0), dev(e("b", "null2"), 1, 3)},
			[]string{"null Dc---------"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, _, err := unpack(t, Options{}, tc.entries...)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(tc.want)
			got := strings.Split(list(t, dir), "\n")
			if strings.Contains(list(t, dir), "a\nb") {
				got = []string{"-rf=4", "...=5", "a b=3", "a\nb=1", "\xff\xfe=2"}
				for _, n := range []string{"-rf", "...", "a b", "a\nb", "\xff\xfe"} {
					if _, err := os.Lstat(dir + "/" + n); err != nil {
						t.Error(err)
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func dev(h *tar.Header, major, minor int64) *tar.Header {
	h.Devmajor, h.Devminor = major, minor
	return h
}

// What no honest layer has is refused, and nothing appears beside the root.
func TestApplyRefuses(t *testing.T) {
	many := []*tar.Header{}
	for i := range 12 {
		many = append(many, e("f", fmt.Sprint(i), "x"))
	}
	overlay := e("d", "a")
	overlay.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/etc"}
	overlayUser := e("f", "a")
	overlayUser.PAXRecords = map[string]string{"SCHILY.xattr.user.overlay.metacopy": ""}
	owner := e("f", "a")
	owner.Uid = 1<<32 - 1
	for _, tc := range []struct {
		name    string
		entries []*tar.Header
	}{
		{"climbing name", []*tar.Header{e("f", "../x", "1")}},
		{"climbing inside", []*tar.Header{e("d", "a"), e("f", "a/../../x", "1")}},
		{"climbing hard link", []*tar.Header{e("h", "x", "../../../../../../etc/passwd")}},
		{"hard link through a link to nothing", []*tar.Header{e("l", "a", "/etc"), e("h", "x", "a/passwd")}},
		{"hard link to the root", []*tar.Header{e("h", "x", "/")}},
		{"hard link to a directory", []*tar.Header{e("d", "a"), e("h", "x", "a")}},
		{"hard link to what is deleted", []*tar.Header{e("f", ".wh.a"), e("h", "x", "a")}},
		{"the root as a link", []*tar.Header{e("l", ".", "/etc")}},
		{"the root as a link, again", []*tar.Header{e("l", "/", "/etc"), e("f", "passwd", "1")}},
		{"the root as a file", []*tar.Header{e("p", ".")}},
		{"a link loop", []*tar.Header{e("l", "a", "b"), e("l", "b", "a"), e("f", "a/x", "1")}},
		{"a file as a directory", []*tar.Header{e("f", "a", "1"), e("f", "a/b", "2")}},
		{"a link to a file as a directory", []*tar.Header{e("f", "a", "1"), e("l", "l", "a"), e("f", "l/b", "2")}},
		{"whiteout of .", []*tar.Header{e("f", ".wh..", "")}},
		{"whiteout of ..", []*tar.Header{e("f", ".wh...", "")}},
		{"whiteout of nothing", []*tar.Header{e("f", "a/.wh.", "")}},
		{"steering attribute", []*tar.Header{overlay}},
		{"steering user attribute", []*tar.Header{overlayUser}},
		{"owner that chown ignores", []*tar.Header{owner}},
		{"too deep", []*tar.Header{e("f", strings.Repeat("d/", 300)+"x", "1")}},
		{"a component too long", []*tar.Header{e("f", strings.Repeat("x", 256), "1")}},
		{"a name too long", []*tar.Header{e("f", strings.Repeat("x/", 3000)+"x", "1")}},
		{"too many entries", many},
		{"too many bytes", []*tar.Header{e("f", "a", strings.Repeat("x", 600)), e("f", "b", strings.Repeat("x", 600))}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, _, err := unpack(t, Options{Limits: Limits{Entries: 10, Bytes: 1000}}, tc.entries...)
			if err == nil {
				t.Fatalf("accepted; the tree is\n%s", list(t, dir))
			}
			beside, _ := os.ReadDir(filepath.Dir(dir))
			if len(beside) != 1 {
				t.Errorf("beside the root lies %v", beside)
			}
		})
	}
}

// Headers that belong to no file and are no entries end at the limit of bytes, too,
// which leaves 64 MiB for them.
func TestHeadersWithoutEnd(t *testing.T) {
	for name, h := range map[string]*tar.Header{
		"global headers":     {Typeflag: tar.TypeXGlobalHeader, Name: "global", PAXRecords: map[string]string{"comment": strings.Repeat("x", 1_000_000)}},
		"roots with records": {Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, PAXRecords: map[string]string{"VENDOR.comment": strings.Repeat("x", 1_000_000)}},
	} {
		var b bytes.Buffer
		if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		header := append(b.Bytes(), make([]byte, -b.Len()&511)...)
		var parts []io.Reader
		for range 80 {
			parts = append(parts, bytes.NewReader(header))
		}
		root, err := os.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		_, err = Apply(context.Background(), root, io.MultiReader(append(parts, bytes.NewReader(make([]byte, 1024)))...), Options{Limits: Limits{Entries: 10, Bytes: 1000}})
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A link of the layer to the host, by its own name and not inside the root.
func TestLinksOfALayerStayInside(t *testing.T) {
	outside := t.TempDir()
	_, _, err := unpack(t, Options{}, e("l", "a", outside), e("f", "a/x", "1"), e("d", "a/d"), e("l", "b", "a"), e("f", "b/y", "2"), e("f", "b/.wh.z"))
	if err != nil {
		t.Error(err)
	}
	if found, _ := filepath.Glob(outside + "/*"); len(found) > 0 {
		t.Errorf("on the host there is %q", found)
	}
}

func TestApplyMetadata(t *testing.T) {
	suid := e("f", "bin/su", "x")
	suid.Mode, suid.Uid, suid.Gid = 0o4755, 0, 42
	caps := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	suid.PAXRecords = map[string]string{
		"SCHILY.xattr.security.capability": caps, "SCHILY.xattr.user.note": "n\x00n",
		"SCHILY.xattr.security.selinux": "u:r:t", "SCHILY.xattr.trusted.x": "1",
	}
	sgid := e("d", "var/")
	sgid.Mode, sgid.Gid = 0o2775, 50
	root := e("d", "./")
	root.Mode = 0o1711
	link := e("l", "l", "x")
	link.Uid = 7
	dir, res, err := unpack(t, Options{}, root, e("d", "bin"), suid, sgid, e("f", "var/file", ""), e("d", "var/sub"), link)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path     string
		mode     uint32
		uid, gid uint32
	}{{".", 0o1711, 0, 0}, {"bin/su", 0o4755, 0, 42}, {"var", 0o2775, 0, 50}, {"var/file", 0o644, 0, 0}, {"var/sub", 0o755, 0, 0}, {"l", 0o777, 7, 0}} {
		var st unix.Stat_t
		if err := unix.Lstat(dir+"/"+tc.path, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode&0o7777 != tc.mode || st.Uid != tc.uid || st.Gid != tc.gid || st.Mtim.Nano() != then.UnixNano() {
			t.Errorf("%s: mode %o, owner %d:%d, time %v", tc.path, st.Mode, st.Uid, st.Gid, time.Unix(st.Mtim.Unix()))
		}
	}
	if v, err := lgetxattr(dir+"/bin/su", capability); err != nil || v != caps {
		t.Errorf("capability %q, %v", v, err)
	}
	if v, err := lgetxattr(dir+"/bin/su", "user.note"); err != nil || v != "n\x00n" {
		t.Errorf("user attribute %q, %v", v, err)
	}
	if v, err := lgetxattr(dir+"/bin/su", "security.selinux"); err == nil && v == "u:r:t" {
		t.Error("the label of the build host was set")
	}
	if _, err := lgetxattr(dir+"/bin/su", "trusted.x"); err == nil || len(res.LeftOut) != 1 {
		t.Errorf("a trusted attribute was set; left out: %q", res.LeftOut)
	}
	if res.Root == nil || res.Root.Mode != 0o1711 || res.Entries != 6 {
		t.Errorf("result %+v", res)
	}
}

// A directory's default ACL is not inherited by the files of the layer, also
// when the tar comes back to it.
func TestApplyDefaultACL(t *testing.T) {
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xe8\x03\x00\x00" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	d := e("d", "d")
	d.PAXRecords = map[string]string{"SCHILY.xattr." + aclDefault: acl}
	dir, _, err := unpack(t, Options{}, d, e("f", "d/a"), e("f", "x"), e("f", "d/b"), e("f", "y"))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := lgetxattr(dir+"/d", aclDefault); err != nil || v != acl {
		t.Errorf("the directory has %q, %v", v, err)
	}
	for _, f := range []string{"d/a", "d/b"} {
		if v, err := lgetxattr(dir+"/"+f, aclAccess); err == nil {
			t.Errorf("%s inherited %q", f, v)
		}
	}
	if st, _ := os.Stat(dir + "/d"); !st.ModTime().Equal(then) {
		t.Errorf("time %v", st.ModTime())
	}
}

func TestApplySparse(t *testing.T) {
	content := make([]byte, 8<<20)
	copy(content[4<<20:], "middle")
	ends := append(bytes.Repeat([]byte{0}, 1<<20), "end"...) // after a hole, in a block of its own
	dir, _, err := unpack(t, Options{}, e("f", "a", string(content)), e("f", "b", string(content[:1<<20])), e("f", "c", string(content[4<<20:4<<20+5000])), e("f", "d", string(ends)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"a": content, "b": content[:1<<20], "c": content[4<<20 : 4<<20+5000], "d": ends} {
		if got, _ := os.ReadFile(dir + "/" + name); !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ from %d", name, len(got), len(want))
		}
		var st unix.Stat_t
		if err := unix.Stat(dir+"/"+name, &st); err != nil || st.Blocks*512 > 64<<10 {
			t.Errorf("%s takes %d bytes, %v", name, st.Blocks*512, err)
		}
	}
}

func lowers(t *testing.T, dirs ...string) []*os.File {
	var out []*os.File
	for _, d := range dirs {
		f, err := os.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		out = append(out, f)
	}
	return out
}

func TestApplyOverLowers(t *testing.T) {
	tmp := e("d", "tmp")
	tmp.Mode = 0o1777
	base, _, err := unpack(t, Options{}, tmp, e("d", "usr/lib"), e("l", "lib", "usr/lib"), e("f", "usr/lib/libc", "c"), e("d", "old"), e("f", "old/x", "1"))
	if err != nil {
		t.Fatal(err)
	}
	middle, _, err := unpack(t, Options{Below: true}, e("f", ".wh.old"))
	if err != nil {
		t.Fatal(err)
	}
	entries := []*tar.Header{e("f", "tmp/x", "1"), e("f", "lib/libm", "m"), e("h", "usr/lib/libc.6", "lib/libc"), e("f", "old/y", "2")}
	if _, _, err := unpack(t, Options{Below: true}, entries...); !errors.Is(err, ErrNeedsLower) {
		t.Fatalf("without the lowers: %v", err)
	}
	dir, res, err := unpack(t, Options{Below: true, Lowers: lowers(t, middle, base)}, entries...)
	if err != nil {
		t.Fatal(err)
	}
	want := "old/\nold/y=2\ntmp/\ntmp/x=1\nusr/\nusr/lib/\nusr/lib/libc=c x2\nusr/lib/libc.6=c x2\nusr/lib/libm=m"
	if got := list(t, dir); got != want || !res.Dependent {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if st, _ := os.Stat(dir + "/tmp"); st.Mode() != os.ModeDir|os.ModeSticky|0o777 || !st.ModTime().Equal(then) {
		t.Errorf("tmp has mode %v, time %v", st.Mode(), st.ModTime())
	}
	if _, res, _ := unpack(t, Options{}, entries[0]); !res.Dependent {
		t.Error("a lowest layer with a missing parent claims to fit anywhere")
	}
	if _, _, err := unpack(t, Options{Below: true, Lowers: lowers(t, middle, base)}, e("h", "x", "old/x")); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a link to what a whiteout hides: %v", err)
	}
}

// The kernel is the judge of the overlay form.
func TestMountedOverlay(t *testing.T) {
	base, _, err := unpack(t, Options{}, e("d", "a"), e("f", "a/1", "1"), e("f", "a/2", "2"), e("d", "b"), e("f", "b/1", "1"), e("d", "c"), e("f", "c/1", "1"), e("f", "f", "f"))
	if err != nil {
		t.Fatal(err)
	}
	top, _, err := unpack(t, Options{Below: true}, e("d", "a"), e("f", "a/.wh.1"), e("d", "b"), e("f", "b/.wh..wh..opq"), e("f", "b/new", "n"), e("f", ".wh.c"), e("d", "c"), e("f", "c/new", "n"), e("f", ".wh.f"))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", ",userxattr"} {
		target := t.TempDir()
		if err := unix.Mount("overlay", target, "overlay", unix.MS_RDONLY, "lowerdir="+top+":"+base+data); err != nil {
			t.Fatal(err)
		}
		got := strings.ReplaceAll(list(t, target), " opaque", "")
		if err := unix.Unmount(target, 0); err != nil {
			t.Error(err)
		}
		if want := "a/\na/2=2\nb/\nb/new=n\nc/\nc/new=n"; got != want {
			t.Errorf("mounted with %q:\n%s\nwant\n%s", data, got, want)
		}
	}
}

func TestApplyTruncatedAndCancelled(t *testing.T) {
	whole := archive(t, e("f", "a", strings.Repeat("x", 5000)), e("f", "b", "y")).Bytes()
	for _, n := range []int{100, 1600, 3000} {
		root, _ := os.Open(t.TempDir())
		if _, err := Apply(context.Background(), root, bytes.NewReader(whole[:n]), Options{}); err == nil {
			t.Errorf("a tar cut at %d was accepted", n)
		}
		root.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	root, _ := os.Open(t.TempDir())
	defer root.Close()
	if _, err := Apply(ctx, root, bytes.NewReader(whole), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}
