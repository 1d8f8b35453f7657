// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// box is a container of unitc-runtime, with its cgroup made by systemd or by hand.
type box struct {
	t       *testing.T
	driver  string
	dir, id string
	spec    *specs.Spec
}

// inBothDrivers runs a test with a scope of systemd's and with plain files.
func inBothDrivers(t *testing.T, test func(t *testing.T, b *box)) {
	for _, driver := range []string{"systemd", "cgroupfs"} {
		t.Run(driver, func(t *testing.T) { test(t, newBox(t, driver)) })
	}
}

// newBox makes a bundle with busybox; the container goes with the test.
func newBox(t *testing.T, driver string) *box {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "box")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, driver: driver, dir: dir, id: filepath.Base(dir), spec: &specs.Spec{}}
	run(t, "sh", "-c", "cd "+dir+" && mkdir -p rootfs/bin rootfs/proc rootfs/sys rootfs/dev && cp /bin/busybox rootfs/bin && chroot rootfs /bin/busybox --install -s /bin && unitc-runtime spec")
	data, err := os.ReadFile(dir + "/config.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, b.spec); err != nil {
		t.Fatal(err)
	}
	b.spec.Process.Terminal, b.spec.Process.Args = false, []string{"sleep", "1000"}
	b.spec.Linux.CgroupsPath = "/labbox/" + b.id
	if driver == "systemd" {
		b.spec.Linux.CgroupsPath = "labbox.slice:lab:" + b.id
	}
	t.Cleanup(func() {
		if out, err := b.call("delete", "--force", b.id); err != nil {
			t.Errorf("delete: %v: %s", err, out)
		}
		await(t, b.group()+" is gone", func() bool {
			_, err := os.Stat(b.group())
			return err != nil
		})
		// The parents stay, as with any runtime.
		run(t, "systemctl", "stop", "labbox.slice")
		_ = os.Remove("/sys/fs/cgroup/labbox")
		os.RemoveAll(dir)
	})
	return b
}

func (b *box) group() string {
	if b.driver == "systemd" {
		return "/sys/fs/cgroup/labbox.slice/lab-" + b.id + ".scope"
	}
	return "/sys/fs/cgroup" + b.spec.Linux.CgroupsPath
}

func (b *box) call(args ...string) (string, error) {
	if b.driver == "systemd" {
		args = append([]string{"--systemd-cgroup"}, args...)
	}
	// Files, not pipes: the payload keeps them open.
	out, err := os.Create(b.dir + "/out")
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd := exec.Command("unitc-runtime", args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, _ := os.ReadFile(out.Name())
	return string(text), err
}

func (b *box) ok(args ...string) string {
	b.t.Helper()
	out, err := b.call(args...)
	if err != nil {
		b.t.Fatalf("unitc-runtime %q: %v: %s", args, err, out)
	}
	return out
}

func (b *box) refused(words string, args ...string) {
	b.t.Helper()
	if out, err := b.call(args...); err == nil || !strings.Contains(out, words) {
		b.t.Errorf("unitc-runtime %q says %q (%v) and not %q", args, out, err, words)
	}
}

// create makes the container with these limits, as in config.json.
func (b *box) create(resources string) (string, error) {
	b.t.Helper()
	b.spec.Linux.Resources = &specs.LinuxResources{}
	if err := json.Unmarshal([]byte(resources), b.spec.Linux.Resources); err != nil {
		b.t.Fatal(err)
	}
	data, err := json.Marshal(b.spec)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.dir+"/config.json", data, 0o644); err != nil {
		b.t.Fatal(err)
	}
	return b.call("create", "--bundle", b.dir, b.id)
}

func (b *box) start(resources string) {
	b.t.Helper()
	if out, err := b.create(resources); err != nil {
		b.t.Fatalf("create with %s: %v: %s", resources, err, out)
	}
	b.ok("start", b.id)
}

// update passes limits as a file, as engines do.
func (b *box) update(resources string) (string, error) {
	b.t.Helper()
	file := b.dir + "/resources.json"
	if err := os.WriteFile(file, []byte(resources), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return b.call("update", "--resources", file, b.id)
}

// has compares files of the cgroup: "pids.max=5"; of more than one line the one
// that begins so.
func (b *box) has(when string, wants ...string) {
	b.t.Helper()
	for _, want := range wants {
		file, value, _ := strings.Cut(want, "=")
		data, err := os.ReadFile(b.group() + "/" + file)
		got := strings.TrimSpace(string(data))
		for line := range strings.Lines(got) {
			if first, _, _ := strings.Cut(value, " "); strings.HasPrefix(line, first+" ") {
				got = strings.TrimSpace(line)
			}
		}
		if err != nil || got != value {
			b.t.Errorf("%s: %s is %q (%v), want %q", when, file, got, err, value)
		}
	}
}

// number reads a file with one figure.
func (b *box) number(file string) int64 {
	b.t.Helper()
	data, err := os.ReadFile(b.group() + "/" + file)
	if err != nil {
		b.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *box) status() string {
	b.t.Helper()
	var s struct{ Status string }
	if err := json.Unmarshal([]byte(b.ok("state", b.id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s.Status
}

// Each limit of config.json is in the file of its controller, can be changed one
// by one, and stays when systemd reads its units again or is told of another.
func TestRuntimeLimits(t *testing.T) {
	disk := run(t, "cat", "/sys/class/block/vda/dev")
	major, minor, _ := strings.Cut(disk, ":")
	// Without it io.weight takes no weight of a single device.
	if err := os.WriteFile("/sys/fs/cgroup/io.cost.qos", []byte(disk+" enable=1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile("/sys/fs/cgroup/io.cost.qos", []byte(disk+" enable=0"), 0) })
	inBothDrivers(t, func(t *testing.T, b *box) {
		b.start(`{
			"memory": {"limit": 67108864, "swap": 100663296, "reservation": 33554432},
			"cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 10000, "cpus": "0", "mems": "0"},
			"pids": {"limit": 20},
			"blockIO": {"weight": 100, "weightDevice": [{"major": ` + major + `, "minor": ` + minor + `, "weight": 505}],
				"throttleReadBpsDevice": [{"major": ` + major + `, "minor": ` + minor + `, "rate": 1048576}],
				"throttleWriteIOPSDevice": [{"major": ` + major + `, "minor": ` + minor + `, "rate": 1000}]},
			"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
			"unified": {"memory.high": "62914560", "memory.oom.group": "1"}}`)
		b.has("at the start", "memory.max=67108864", "memory.swap.max=33554432", "memory.low=33554432", "memory.high=62914560", "memory.oom.group=1",
			"cpu.weight=59", "cpu.max=50000 200000", "cpu.max.burst=10000", "cpuset.cpus=0", "cpuset.mems=0", "pids.max=20",
			"io.weight=default 910", "io.max="+disk+" rbps=1048576 wbps=max riops=max wiops=1000", "hugetlb.2MB.max=4194304")
		if weights, _ := os.ReadFile(b.group() + "/io.weight"); !strings.Contains(string(weights), disk+" 5000\n") {
			t.Errorf("io.weight is %q, want %s with 5000", weights, disk)
		}
		b.ok("update", "--memory", "72m", b.id)
		b.ok("update", "--cpu-quota", "60000", b.id)
		b.ok("update", "--cpu-burst", "0", "--pids-limit", "30", b.id)
		changed := []string{"memory.max=75497472", "memory.swap.max=25165824", "memory.low=33554432", "memory.high=62914560",
			"cpu.weight=59", "cpu.max=60000 200000", "cpu.max.burst=0", "cpuset.cpus=0", "pids.max=30", "io.weight=default 910", "hugetlb.2MB.max=4194304"}
		b.has("after three updates", changed...)
		run(t, "systemctl", "daemon-reload")
		b.has("after a reload", changed...)
		if b.driver == "systemd" {
			run(t, "systemctl", "set-property", "--runtime", filepath.Base(b.group()), "MemoryMin=1M", "CPUWeight=70")
			b.has("after systemd has written its own", "memory.max=75497472", "memory.min=1048576", "memory.high=62914560", "cpu.max=60000 200000", "cpu.weight=70")
		}
		b.ok("update", "--memory", "-1", "--cpu-period", "100000", b.id)
		b.ok("update", "--cpu-quota", "-1", "--pids-limit", "-1", "--cpu-share", "1024", "--cpuset-cpus", "0-1", b.id)
		b.has("without limits", "memory.max=max", "memory.swap.max=max", "cpu.max=max 100000", "cpu.weight=100", "pids.max=max", "cpuset.cpus=0-1")
		if out, err := b.update(`{"cpu": {"idle": 1}, "hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}`); err != nil {
			t.Errorf("update --resources: %v: %s", err, out)
		}
		b.has("of a file", "cpu.idle=1", "hugetlb.2MB.max=2097152")
	})
}

// "What the kernel cannot do is an error, never silence": a controller that is
// not passed down to where the container is to be, a file that the kernel has not.
//
//lab:once
func TestRuntimeLimitsWithoutController(t *testing.T) {
	inBothDrivers(t, func(t *testing.T, b *box) {
		for limits, words := range map[string]string{
			`{"hugepageLimits": [{"pageSize": "7MB", "limit": 1}]}`: "hugetlb controller of this kernel has no such file",
			`{"unified": {"memory.nonsense": "1"}}`:                 "memory controller of this kernel has no such file",
			`{"unified": {"nonsense.max": "1"}}`:                    "nonsense controller is not available",
			`{"cpu": {"mems": "7"}}`:                                "cpuset.mems",
			`{"rdma": {"no_such_card": {"hcaHandles": 1}}}`:         "rdma.max",
		} {
			if out, err := b.create(limits); err == nil || !strings.Contains(out, words) {
				t.Errorf("create with %s: %v, and not an error with %q: %s", limits, err, words, out)
			}
			if _, err := os.Stat(b.group()); err == nil && b.driver == "cgroupfs" {
				t.Errorf("%s is left", b.group())
			}
		}
	})
	b := newBox(t, "cgroupfs")
	crowd := "/sys/fs/cgroup/labcrowd"
	if err := os.Mkdir(crowd, 0o755); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "infinity")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
		await(t, "the cgroup is gone", func() bool { return os.Remove(crowd) == nil })
	})
	// A cgroup with processes of its own passes no controller on (cgroups(7)).
	if err := os.WriteFile(crowd+"/cgroup.procs", []byte(strconv.Itoa(sleeper.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	b.spec.Linux.CgroupsPath = "/labcrowd/" + b.id
	for controller, limits := range map[string]string{
		"memory": `{"memory": {"limit": 67108864}}`, "cpu": `{"cpu": {"quota": 50000}}`, "cpuset": `{"cpu": {"cpus": "0"}}`,
		"pids": `{"pids": {"limit": 5}}`, "io": `{"blockIO": {"weight": 50}}`, "hugetlb": `{"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}`,
	} {
		if out, err := b.create(limits); err == nil || !strings.Contains(out, "the "+controller+" controller is not available") {
			t.Errorf("create with %s: %v, and not an error of the %s controller: %s", limits, err, controller, out)
		}
		if _, err := os.Stat(b.group()); err == nil {
			t.Errorf("%s is left", b.group())
		}
	}
	b.start(`{}`)
	b.refused("the pids controller is not available", "update", "--pids-limit", "5", b.id)
	b.ok("delete", "--force", b.id)
	if err := os.WriteFile(crowd+"/cgroup.subtree_control", []byte("+pids"), 0); err != nil {
		t.Fatal(err)
	}
	if out, err := b.create(`{}`); err == nil || !strings.Contains(out, "place for threads alone") {
		t.Errorf("create among threads: %v: %s", err, out)
	}
}

// With memory.checkBeforeUpdate a limit below what is in use is refused and
// nothing is changed; without it the kernel decides, and kills.
//
//lab:once
func TestRuntimeMemoryCheckBeforeUpdate(t *testing.T) {
	inBothDrivers(t, func(t *testing.T, b *box) {
		// Memory of a tmpfs is given back to nobody while there is no swap.
		b.spec.Process.Args = []string{"sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40 && touch /dev/shm/full; exec sleep 1000"}
		b.start(`{"memory": {"limit": 67108864, "swap": 67108864}, "pids": {"limit": 20}}`)
		await(t, "it holds its memory", func() bool { return b.number("memory.current") >= 40<<20 })
		const before, check = "memory.max=67108864", `"checkBeforeUpdate": true`
		for _, limits := range []string{
			`{"memory": {"limit": 33554432, ` + check + `}, "pids": {"limit": 7}}`,
			`{"memory": {"limit": 33554432, "swap": 67108864, ` + check + `}}`,
			`{"memory": {"limit": 33554432, "swap": 33554432, ` + check + `}}`,
		} {
			if out, err := b.update(limits); err == nil || !strings.Contains(out, "33554432") || !strings.Contains(out, "in use") {
				t.Errorf("%s: %v: %s", limits, err, out)
			}
			b.has("after a refusal", before, "memory.swap.max=0", "pids.max=20")
		}
		if out, err := b.update(`{"memory": {"limit": 50331648, "swap": 50331648, ` + check + `}}`); err != nil {
			t.Errorf("a limit above what is in use: %v: %s", err, out)
		}
		b.has("after an update", "memory.max=50331648", "memory.swap.max=0", "pids.max=20")
		// The container asks for it from now on, also where a caller cannot say so.
		b.refused("in use", "update", "--memory", "32m", b.id)
		b.has("after a refusal", "memory.max=50331648")
		if n := b.events("oom_kill"); n != 0 || b.status() != "running" {
			t.Errorf("%d processes were killed, and it is %s", n, b.status())
		}
		if out, err := b.update(`{"memory": {"limit": 16777216, "checkBeforeUpdate": false}}`); err != nil {
			// It may have been killed, and its cgroup gone, before the next limit was set.
			t.Logf("without the check: %v: %s", err, out)
		}
		await(t, "the kernel has killed it", func() bool { return b.status() == "stopped" })
	})
}

// events is a figure of memory.events.
func (b *box) events(key string) (n int64) {
	b.t.Helper()
	data, err := os.ReadFile(b.group() + "/memory.events")
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, key+" "); ok {
			n, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// `events` tells what a kernel with controllers counts, and of processes that
// were killed for want of memory.
//
//lab:once
func TestRuntimeEvents(t *testing.T) {
	inBothDrivers(t, func(t *testing.T, b *box) {
		b.spec.Process.Args = []string{"sh", "-c", `until [ -e /dev/shm/go ]; do sleep 0.2; done; dd if=/dev/zero of=/dev/null bs=100M count=1; exec sleep 1000`}
		b.start(`{"memory": {"limit": 33554432, "swap": 33554432}, "pids": {"limit": 20}, "cpu": {"quota": 50000}, "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}`)
		var e struct {
			Type string
			Data struct {
				CPU    struct{ Usage struct{ Total uint64 } }
				Memory struct {
					Usage, Swap struct{ Limit, Usage uint64 }
					Raw         map[string]uint64
				}
				Pids    struct{ Current, Limit uint64 }
				Hugetlb map[string]struct{ Limit uint64 }
			}
		}
		text := b.ok("events", "--stats", b.id)
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		d := e.Data
		if e.Type != "stats" || d.CPU.Usage.Total == 0 || d.Memory.Usage.Limit != 32<<20 || d.Memory.Usage.Usage < 4096 || d.Memory.Usage.Usage > 32<<20 ||
			d.Memory.Swap.Limit != 32<<20 || d.Memory.Swap.Usage < d.Memory.Usage.Usage || len(d.Memory.Raw) == 0 ||
			d.Pids.Current == 0 || d.Pids.Limit != 20 || d.Hugetlb["2MB"].Limit != 4<<20 {
			t.Errorf("the figures are %s", text)
		}
		watch := exec.Command("unitc-runtime", "events", "--interval", "1h", b.id)
		pipe, err := watch.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := watch.Start(); err != nil {
			t.Fatal(err)
		}
		defer time.AfterFunc(3*time.Minute, func() { _ = watch.Process.Kill() }).Stop()
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"type":"stats"`) {
			t.Errorf("events begins with %q", lines.Text())
		}
		b.ok("exec", b.id, "touch", "/dev/shm/go")
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), `{"type":"oom","id":"`+b.id+`"`) {
			t.Errorf("events goes on with %q", lines.Text())
		}
		b.ok("kill", b.id, "KILL")
		if err := watch.Wait(); err != nil {
			t.Errorf("events ends with %v", err)
		}
	})
}
