// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A file of any size is read whole, also where it ends with the buffer.
func TestReader(t *testing.T) {
	dir := t.TempDir()
	var r Reader
	for _, size := range []int{0, 1, readerSize - 1, readerSize, readerSize + 1, 5 * readerSize} {
		want := strings.Repeat("x", size)
		write(t, dir, map[string]string{"file": want})
		got, err := r.Read(unix.AT_FDCWD, dir+"/file")
		if err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%d bytes are read as %d (%v)", size, len(got), err)
		}
	}
	if _, err := r.Read(unix.AT_FDCWD, dir+"/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := r.Read(unix.AT_FDCWD, dir); err == nil {
		t.Error("a directory is read")
	}
}

func value[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func TestCounters(t *testing.T) {
	root := t.TempDir()
	h := Host{State: root + "/state", Cgroups: root + "/cgroup", Proc: root + "/proc"}
	cgroup := root + "/cgroup/unitc.slice/unitc-web.scope"
	write(t, cgroup, map[string]string{
		"cpu.stat": "usage_usec 1500\nuser_usec 1\n", "memory.current": "4096\n", "memory.max": "max\n", "memory.peak": "8192\n", "pids.current": "3\n", "pids.max": "20\n",
		"memory.events": "low 0\noom 1\noom_kill 2\n", "cgroup.events": "populated 1\nfrozen 1\n", "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2\n",
		"cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00\n", "cgroup.procs": "", "payload/cgroup.procs": "42\n43\n",
	})
	write(t, h.Proc, map[string]string{"42/net/dev": "Inter-|\n face |\n    lo: 9 0 0 0 0 0 0 0 9 0\n  eth0: 100 1 0 0 0 0 0 0 200 1\n"})
	for link, target := range map[string]string{"1/ns/net": "net:[1]", "42/ns/net": "net:[2]"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(h.Proc+"/"+link), 0o755), os.Symlink(target, h.Proc+"/"+link)); err != nil {
			t.Fatal(err)
		}
	}
	s := Survey{Host: h}
	defer s.Close()
	for range 2 { // what is kept from one to the next changes nothing
		u := s.Usage(cgroup)
		for name, c := range map[string]struct{ got, want any }{
			"cpu": {value(u.CPU), uint64(1500)}, "memory": {value(u.Memory), uint64(4096)}, "limit": {value(u.MemoryLimit), nil}, "peak": {value(u.MemoryPeak), uint64(8192)},
			"swap": {value(u.Swap), nil}, "pids": {value(u.Pids), uint64(3)}, "pids limit": {value(u.PidsLimit), uint64(20)}, "oom": {value(u.OOMKills), uint64(2)},
			"pressure": {value(u.CPUPressure), 1.5}, "no pressure": {value(u.IOPressure), nil}, "read": {value(u.IORead), uint64(11)}, "written": {value(u.IOWrite), uint64(22)},
			"received": {value(u.NetRead), uint64(100)}, "sent": {value(u.NetWrite), uint64(200)}, "frozen": {u.Frozen, true},
		} {
			if c.got != c.want {
				t.Errorf("%s is %v, want %v", name, c.got, c.want)
			}
		}
	}
	if u := s.Processor(cgroup); value(u.CPU) != uint64(1500) || u.Memory != nil {
		t.Errorf("of the processor alone: %+v", u)
	}
	if sum := s.Summary(cgroup); value(sum.Memory) != uint64(4096) || sum.MemoryLimit != nil || !sum.Frozen {
		t.Errorf("the summary is %+v", sum)
	}
	if gone := s.Usage(root + "/none"); gone.CPU != nil || gone.IORead != nil || value(gone.Pids) != uint64(0) {
		t.Errorf("of a cgroup that is gone: %+v", gone)
	}
	// A slice that ends and begins anew is another directory.
	s.Close()
	if err := os.Rename(root+"/cgroup/unitc.slice", root+"/gone.slice"); err != nil {
		t.Fatal(err)
	}
	write(t, cgroup, map[string]string{"memory.current": "8192\n"})
	if sum := s.Summary(cgroup); value(sum.Memory) != uint64(8192) || sum.CPU != nil {
		t.Errorf("of the new slice: %+v", sum)
	}
	other := root + "/cgroup/other.slice/unitc-db.scope"
	write(t, other, map[string]string{"memory.current": "1\n"})
	if sum := s.Summary(other); value(sum.Memory) != uint64(1) {
		t.Errorf("of another slice: %+v", sum)
	}
	if err := os.RemoveAll(root + "/cgroup/other.slice"); err != nil {
		t.Fatal(err)
	}
	if found := h.FindCgroups(); len(found) != 1 || found["unitc-web.scope"] != cgroup {
		t.Errorf("found %v", found)
	}
}
