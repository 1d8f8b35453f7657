// SPDX-License-Identifier: Apache-2.0

//go:build lab

package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/store"
)

// umoci, which nobody here wrote, unpacks the same images: every file, owner,
// mode, time, attribute, link and content must be equal. Debian's package.

func TestJudgeOddities(t *testing.T) {
	h := func(kind byte, name string, change func(*tar.Header)) *tar.Header {
		h := &tar.Header{Typeflag: kind, Name: name, Mode: 0o644, ModTime: time.Unix(1600000000, 5000), Format: tar.FormatPAX}
		if kind == tar.TypeDir {
			h.Mode = 0o755
		}
		if change != nil {
			change(h)
		}
		return h
	}
	link := func(to string) func(*tar.Header) { return func(h *tar.Header) { h.Linkname = to } }
	content := func(s string) func(*tar.Header) { return func(h *tar.Header) { h.Uname, h.Size = s, int64(len(s)) } }
	const d, f, l, hl = tar.TypeDir, tar.TypeReg, tar.TypeSymlink, tar.TypeLink
	tars := [][]byte{
		rawTar(t, h(d, "./", nil), h(d, "etc/", nil), h(f, "etc/passwd", content("root")), h(d, "usr/", nil), h(d, "usr/lib/", nil), h(l, "lib", link("usr/lib")),
			h(f, "usr/lib/libc", content("libc")), h(hl, "usr/lib/libc.6", link("usr/lib/libc")), h(d, "gone/", nil), h(f, "gone/a", content("a")), h(d, "opaque/", nil),
			h(f, "opaque/old", content("old")), h(d, "both/", nil), h(f, "both/old", content("o")),
			h(f, "setuid", func(h *tar.Header) { content("x")(h); h.Mode = 0o4755; h.Uid = 3; h.Gid = 4 }),
			h(d, "sticky/", func(h *tar.Header) { h.Mode = 0o1777 }), h(d, "setgid/", func(h *tar.Header) { h.Mode = 0o2770; h.Gid = 9 }), h(f, "setgid/in", content("i")),
			h(f, "attr", func(h *tar.Header) {
				content("y")(h)
				h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "v\x00w", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20" + strings.Repeat("\x00", 14)}
			}),
			h(tar.TypeFifo, "fifo", nil), h(f, "new\nline", content("1")), h(f, "b\xffd", content("2")), h(f, "sparse", content(strings.Repeat("\x00", 1<<20)+"end"))),
		rawTar(t, h(d, "etc/", nil), h(f, "etc/passwd", content("root2")), h(f, ".wh.gone", nil), h(d, "opaque/", nil), h(f, "opaque/.wh..wh..opq", nil), h(f, "opaque/new", content("new")),
			h(f, "both/.wh.old", nil), h(f, "setuid", content("now a plain one")), h(hl, "usr/lib/second", link("setgid/in"))),
		rawTar(t, h(d, "gone/", nil), h(f, "gone/b", content("b")), h(l, "abs", link("/etc")), h(f, "sticky/x", content("x")), h(d, "a/", nil), h(d, "a/b/", nil), h(f, "a/b/c", content("c")), h(hl, "a/d", link("/a/b/c"))),
	}
	judge(t, build(t, gz, tars...))
}

// A tree of this machine: thousands of ordinary files.
func TestJudgeOrdinary(t *testing.T) {
	var tars [][]byte
	for _, dir := range []string{"/usr/lib/python3", "/etc"} {
		cmd := exec.Command("tar", "--xattrs", "-c", "-C", "/", strings.TrimPrefix(dir, "/"))
		out, err := cmd.Output()
		if err != nil && len(out) < 10240 {
			t.Fatalf("tar %s: %v", dir, err)
		}
		tars = append(tars, append(rawDirs(t, dir), out...))
	}
	judge(t, build(t, gz, tars...))
}

// Images that umoci has made of a Debian tree, brought here in each form that
// skopeo and podman write: all are what umoci unpacks.
func TestJudgeMadeByPeers(t *testing.T) {
	dir := t.TempDir()
	made := dir + "/layout:made"
	umoci := func(words ...string) { t.Helper(); peer(t, append([]string{"umoci"}, words...)...) }
	umoci("init", "--layout", dir+"/layout")
	umoci("new", "--image", made)
	// A directory that no layer names has no time that two could agree on.
	peer(t, "mkdir", dir+"/tree")
	peer(t, "cp", "-a", "--parents", "/etc", "/usr/share/perl5", "/usr/bin/skopeo", dir+"/tree")
	umoci("insert", "--image", made, dir+"/tree", "/")
	umoci("insert", "--image", made, "--opaque", "/etc/systemd", "/etc/systemd")
	umoci("insert", "--image", made, "--whiteout", "/etc/fstab")
	umoci("config", "--image", made, "--config.cmd", "/bin/sh", "--architecture", runtime.GOARCH)
	want := judged(t, made)
	if slices.ContainsFunc(want, func(line string) bool { return strings.HasPrefix(line, `"/etc/fstab"`) }) {
		t.Fatal("umoci has kept what it was told to remove")
	}

	w := newWorld(t)
	skopeo := func(to string, options ...string) {
		t.Helper()
		peer(t, append(append([]string{"skopeo", "--insecure-policy", "copy", "--quiet", "oci:" + made}, to), options...)...)
	}
	for name, options := range map[string][]string{"gzip": nil, "zstd": {"--dest-compress-format", "zstd", "--dest-force-compress-format"}, "docker": {"--format", "v2s2"}} {
		ref := w.host + "/made:" + name
		skopeo("docker://"+ref, append(options, "--dest-creds", user+":"+password, "--dest-cert-dir", w.dir+"/certs.d/"+w.host)...)
		img, err := w.client.Pull(ctx, ref, PullOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		compare(t, want, img)
	}
	skopeo("oci-archive:" + dir + "/skopeo-oci.tar:localhost/made:1")
	skopeo("docker-archive:" + dir + "/skopeo-docker.tar:localhost/made:1")
	podman := []string{"podman", "--root", dir + "/podman", "--runroot", dir + "/run"}
	peer(t, append(podman, "load", "-q", "-i", dir+"/skopeo-docker.tar")...)
	for _, format := range []string{"oci-archive", "docker-archive"} {
		peer(t, append(podman, "save", "-q", "--format", format, "-o", dir+"/podman-"+format+".tar", "localhost/made:1")...)
	}
	peer(t, append(podman, "rmi", "-f", "localhost/made:1")...)
	for _, archive := range []string{"skopeo-oci", "skopeo-docker", "podman-oci-archive", "podman-docker-archive"} {
		c := newClient(t)
		got, err := c.Load(ctx, dir+"/"+archive+".tar", LoadOptions{Name: "localhost/made:1"})
		if err != nil {
			t.Fatalf("%s: %v", archive, err)
		}
		compare(t, want, got[0].Image)
	}
}

// rawDirs are the parents, which tar leaves out.
func rawDirs(t testing.TB, dir string) []byte {
	var hs []*tar.Header
	for i, c := range dir {
		if c == '/' && i > 0 {
			hs = append(hs, &tar.Header{Typeflag: tar.TypeDir, Name: dir[1:i] + "/", Mode: 0o755})
		}
	}
	data := rawTar(t, hs...)
	return data[:len(data)-1024]
}

// rawTar writes headers; the content of a file is passed in Uname.
func rawTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname
		h.Uname = ""
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func judge(t *testing.T, b *built) {
	layout := writeDir(t, layoutOf(t, b, map[string]string{annotationRefName: "latest"}))
	c := newClient(t)
	got, err := c.Load(ctx, layout, LoadOptions{Name: "judged"})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, judged(t, layout+":latest"), got[0].Image)
}

// judged is what umoci makes of an image.
func judged(t *testing.T, image string) []string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "tree")
	peer(t, "umoci", "raw", "unpack", "--image", image, tree)
	return inventory(t, tree)
}

func peer(t *testing.T, words ...string) {
	t.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q, of Debian's packages: %v\n%s", words, err, out)
	}
}

func compare(t *testing.T, want []string, img store.Image) {
	t.Helper()
	have := inventory(t, mount(t, img))
	for _, line := range want {
		if !slices.Contains(have, line) {
			t.Errorf("the judge has %q", line)
		}
	}
	for _, line := range have {
		if !slices.Contains(want, line) {
			t.Errorf("unitc has %q", line)
		}
	}
	if len(have) < 10 {
		t.Errorf("only %d entries", len(have))
	}
}

func mount(t *testing.T, img store.Image) string {
	t.Helper()
	target := t.TempDir()
	lowers := append(slices.Clone(img.Lowers), t.TempDir()) // one alone is no overlay
	if err := unix.Mount("overlay", target, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lowers, ":")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
	return target
}

// inventory describes everything in a tree, a line each.
func inventory(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		line := fmt.Sprintf("%q mode %o owner %d:%d dev %d", name, st.Mode, st.Uid, st.Gid, st.Rdev)
		if name != "" {
			line += fmt.Sprintf(" time %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			to, _ := os.Readlink(path)
			line += " -> " + to
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" size %d hash %x", st.Size, sha256.Sum256(data))
			if st.Nlink > 1 {
				if inodes[st.Ino] == "" {
					inodes[st.Ino] = name
				}
				line += " linked to " + inodes[st.Ino]
			}
		}
		lines = append(lines, line+xattrsOf(path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func xattrsOf(path string) string {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return ""
	}
	names := strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	out := ""
	for _, name := range names {
		if name == "user.overlay.opaque" || strings.HasPrefix(name, "user.umoci.") || strings.HasPrefix(name, "trusted.overlay.") {
			continue // ours for the mount, umoci's for itself
		}
		value := make([]byte, 4096)
		n, _ := unix.Lgetxattr(path, name, value)
		out += fmt.Sprintf(" %s=%q", name, value[:max(n, 0)])
	}
	return out
}
