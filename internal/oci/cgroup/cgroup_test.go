// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/cgroupfs"
)

func ptr[T any](v T) *T { return &v }

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		r    specs.LinuxResources
		want string // "" = an error
	}{
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(150)), Reservation: ptr(int64(50))}}, "memory.low=50 memory.swap.max=50 memory.max=100"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}}, "memory.swap.max=max memory.max=max"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(100))}}, "memory.swap.max=0 memory.max=100"},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: ptr(int64(100))}}, ""},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(50))}}, ""},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(5))}}, ""},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{UseHierarchy: ptr(false)}}, ""},
		{specs.LinuxResources{Memory: &specs.LinuxMemory{UseHierarchy: ptr(true), Limit: ptr(int64(1))}}, "memory.max=1"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(5000)), Period: ptr(uint64(10000)), Cpus: "0-1"}}, "cpu.weight=100 cpu.max=5000 10000 cpuset.cpus=0-1"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}, "cpu.max=max 100000"},
		{specs.LinuxResources{CPU: &specs.LinuxCPU{RealtimeRuntime: ptr(int64(5))}}, ""},
		{specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, "pids.max=max"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{throttle(8, 0, 1000)}}}, "io.max=8:0 rbps=1000"},
		{specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, ""},
		{specs.LinuxResources{Unified: map[string]string{"io.max": "8:0 rbps=1\n8:16 rbps=2\n", "memory.high": "5"}}, "io.max=8:0 rbps=1 io.max=8:16 rbps=2 memory.high=5"},
		{specs.LinuxResources{Unified: map[string]string{"cgroup.procs": "1"}}, ""},
		{specs.LinuxResources{Unified: map[string]string{"../x.y": "1"}}, ""},
		//lint:ignore SA1019 still specified, and refused
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(1 << 20))}}, ""},
		//lint:ignore SA1019 still specified
		{specs.LinuxResources{Memory: &specs.LinuxMemory{Kernel: ptr(int64(-1)), Limit: ptr(int64(1))}}, "memory.max=1"},
		{specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {}}}, ""},
		{specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaObjects: ptr(uint32(5))}}}, "rdma.max=mlx5_1 hca_object=5"},
		{specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}}}, ""},
		{specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB", Limit: 1}}}, ""},
	} {
		list, err := Settings(&c.r)
		var words []string
		for _, s := range list {
			words = append(words, s.file+"="+s.value)
		}
		if got := strings.Join(words, " "); (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("%+v gives %q (%v), want %q", c.r, got, err, c.want)
		}
	}
}

// io.weight takes 1 to 10000, for all devices or for one.
func TestIOWeight(t *testing.T) {
	for in, want := range map[string]string{"10": "default 1", "1000": "default 10000", "254:0 505": "254:0 5000", "5": "default 5"} {
		if got := bfqToWeight(in); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
}

// A limit is refused where it is reached already; that of swap counts memory too.
func TestCheckBeforeUpdate(t *testing.T) {
	for _, c := range []struct {
		m  specs.LinuxMemory
		ok bool
	}{
		{specs.LinuxMemory{}, true},
		{specs.LinuxMemory{Limit: ptr(int64(100))}, false},
		{specs.LinuxMemory{Limit: ptr(int64(101))}, true},
		{specs.LinuxMemory{Limit: ptr(int64(101)), Swap: ptr(int64(110))}, false},
		{specs.LinuxMemory{Limit: ptr(int64(101)), Swap: ptr(int64(111))}, true},
		{specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}, true},
	} {
		if err := fits(&c.m, 100, 10); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
}

func throttle(major, minor int64, rate uint64) specs.LinuxThrottleDevice {
	d := specs.LinuxThrottleDevice{Rate: rate}
	d.Major, d.Minor = major, minor
	return d
}

func TestWeight(t *testing.T) {
	last := uint64(0)
	for shares, want := range map[uint64]uint64{0: 1, 2: 1, 1024: 100, 262144: 10000, 1 << 40: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
	for shares := uint64(2); shares < 262144; shares += 97 {
		if w := Weight(shares); w < last || w > 10000 {
			t.Fatalf("%d shares: weight %d after %d", shares, w, last)
		} else {
			last = w
		}
	}
}

// verdict runs the program as the kernel would.
func verdict(t *testing.T, p []instruction, kind, access int32, major, minor int64) bool {
	t.Helper()
	var r [11]int64
	for i := 0; i < len(p); i++ {
		in := p[i]
		dst, src := in.regs&15, in.regs>>4
		if src > 1 {
			t.Fatalf("instruction %d reads register %d", i, src)
		}
		switch in.code {
		case bpfLoadWord:
			r[dst] = map[int16]int64{0: int64(access)<<16 | int64(kind), 4: major, 8: minor}[in.off]
		case bpfMovImm:
			r[dst] = int64(in.imm)
		case bpfAndImm:
			r[dst] &= int64(in.imm)
		case bpfShiftImm:
			r[dst] >>= in.imm
		case bpfJumpNeImm:
			if r[dst] != int64(in.imm) {
				i += int(in.off)
			}
		case bpfJumpEqImm:
			if r[dst] == int64(in.imm) {
				i += int(in.off)
			}
		case bpfExit:
			return r[0] == 1
		default:
			t.Fatalf("instruction %#x", in.code)
		}
	}
	t.Fatal("the program has no end")
	return false
}

func TestDeviceRules(t *testing.T) {
	rule := func(allow bool, kind int32, access int32, major, minor int64) device {
		return device{allow, kind, access, major, minor}
	}
	for _, c := range []struct {
		rules        []device
		kind, access int32
		major, minor int64
		want         bool
	}{
		{nil, devChar, accessRead, 1, 3, false},
		{[]device{rule(true, devChar, accessAll, 1, 3)}, devChar, accessRead | accW, 1, 3, true},
		{[]device{rule(true, devChar, accessAll, 1, 3)}, devBlock, accessRead, 1, 3, false},
		{[]device{rule(true, devChar, accessAll, 1, 3)}, devChar, accessRead, 1, 5, false},
		{[]device{rule(true, devChar, accessRead, 1, 3)}, devChar, accessRead | accW, 1, 3, false},
		{merged([]device{rule(true, devChar, accessRead, 1, 3), rule(true, devChar, accW, 1, 3)}), devChar, accessRead | accW, 1, 3, true},
		{[]device{rule(true, devChar, accessAll, -1, -1), rule(false, devChar, accW, 1, 3)}, devChar, accessRead | accW, 1, 3, false},
		{[]device{rule(true, devChar, accessAll, -1, -1), rule(false, devChar, accW, 1, 3)}, devChar, accessRead, 1, 3, true},
		{[]device{rule(false, devChar, accessAll, 1, 3), rule(true, 0, accessAll, -1, -1)}, devChar, accessRead, 1, 3, true},
		{[]device{rule(true, 0, accessAll, -1, -1), rule(false, devBlock, accessAll, -1, -1)}, devBlock, accessMknod, 8, 0, false},
	} {
		if got := verdict(t, compileDevices(c.rules), c.kind, c.access, c.major, c.minor); got != c.want {
			t.Errorf("%+v: kind %d access %d %d:%d: %v", c.rules, c.kind, c.access, c.major, c.minor, got)
		}
	}
}

// Whatever the rules, the program answers as they read: the last that matches
// decides, one that allows if it has all that is asked for, one that denies if it has
// any of it.
func TestDeviceProgramIsTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	number := func() int64 { return random.Int64N(4) - 1 }
	for range 500 {
		var rules []device
		for range random.IntN(6) {
			rules = append(rules, device{random.IntN(2) == 0, random.Int32N(3), 1 + random.Int32N(7), number(), number()})
		}
		program := compileDevices(rules)
		for kind := int32(devBlock); kind <= devChar; kind++ {
			for access := int32(1); access <= accessAll; access++ {
				for n := range int64(9) {
					major, minor := n/3, n%3
					want := false
					for _, r := range slices.Backward(rules) {
						asked := r.access&access != 0
						if r.allow {
							asked = r.access&access == access
						}
						if asked && (r.kind == 0 || r.kind == kind) && (r.major < 0 || r.major == major) && (r.minor < 0 || r.minor == minor) {
							want = r.allow
							break
						}
					}
					if got := verdict(t, program, kind, access, major, minor); got != want {
						t.Fatalf("%+v: kind %d access %d %d:%d: %v", rules, kind, access, major, minor, got)
					}
				}
			}
		}
	}
}

func TestLocate(t *testing.T) {
	for in, want := range map[string]string{"/a/b": "/a/b", "/a/../b": "/b", "/../../x": "/x"} {
		if got, err := Locate(in, "id"); err != nil || got != want {
			t.Errorf("%s: %q (%v)", in, got, err)
		}
	}
	for _, in := range []string{"../../../../etc", "x/../../../y"} {
		got, err := Locate(in, "id")
		own, _ := cgroupfs.Of("self")
		if err == nil && !strings.HasPrefix(got, strings.TrimSuffix(fmt.Sprint(own[:strings.LastIndexByte(own, '/')]), "/")+"/") {
			t.Errorf("%s climbs to %s", in, got)
		}
	}
}
