// SPDX-License-Identifier: Apache-2.0

package busvalue

import (
	"math"
	"reflect"
	"testing"
)

func TestOf(t *testing.T) {
	for _, test := range []struct {
		name, value, property string
		want                  any
	}{
		{"MemoryMax", "64M", "MemoryMax", uint64(64 << 20)},
		{"MemoryMax", "67108864", "MemoryMax", uint64(64 << 20)},
		{"MemoryMax", "infinity", "MemoryMax", uint64(math.MaxUint64)},
		{"MemoryHigh", "50%", "MemoryHighScale", uint32(math.MaxUint32 / 2)},
		{"TasksMax", "100", "TasksMax", uint64(100)},
		{"CPUQuota", "50%", "CPUQuotaPerSecUSec", uint64(500_000)},
		{"CPUQuota", "0.01%", "CPUQuotaPerSecUSec", uint64(100)},
		{"CPUQuotaPeriodSec", "10ms", "CPUQuotaPeriodUSec", uint64(10_000)},
		{"CPUWeight", "idle", "CPUWeight", uint64(0)},
		{"TimeoutStopSec", "1min 30s", "TimeoutStopUSec", uint64(90_000_000)},
		{"TimeoutStopSec", "10000ms", "TimeoutStopUSec", uint64(10_000_000)},
		{"AllowedCPUs", "0-3,9", "AllowedCPUs", []byte{0x0f, 0x02}},
		{"DeviceAllow", "/dev/fuse rw", "DeviceAllow", []DeviceRule{{"/dev/fuse", "rw"}}},
		{"DeviceAllow", `"/dev/my disk" r`, "DeviceAllow", []DeviceRule{{"/dev/my disk", "r"}}},
		{"DeviceAllow", "char-pts rwm", "DeviceAllow", []DeviceRule{{"char-pts", "rwm"}}},
		{"IOReadBandwidthMax", "/dev/100%% 5M", "IOReadBandwidthMax", []DeviceRate{{"/dev/100%", 5_000_000}}},
		{"IODeviceLatencyTargetSec", "/dev/sda 25ms", "IODeviceLatencyTargetUSec", []DeviceRate{{"/dev/sda", 25_000}}},
		{"IPAddressDeny", "any", "IPAddressDeny", []Address{{2, []byte{0, 0, 0, 0}, 0}, {10, make([]byte, 16), 0}}},
		{"IPAddressAllow", "10.1.2.3", "IPAddressAllow", []Address{{2, []byte{10, 1, 2, 3}, 32}}},
		{"BPFProgram", "egress:/sys/fs/bpf/x", "BPFProgram", []Program{{"egress", "/sys/fs/bpf/x"}}},
		{"RestrictNetworkInterfaces", "lo eth0", "RestrictNetworkInterfaces", Interfaces{true, []string{"lo", "eth0"}}},
		{"RestrictNetworkInterfaces", "~lo", "RestrictNetworkInterfaces", Interfaces{false, []string{"lo"}}},
		{"SocketBindDeny", "any", "SocketBindDeny", []Bind{{}}},
		{"SocketBindAllow", "ipv6:udp:1000-1999", "SocketBindAllow", []Bind{{10, 17, 1000, 1000}}},
		{"SocketBindAllow", "80", "SocketBindAllow", []Bind{{0, 0, 1, 80}}},
		{"SocketBindAllow", "tcp", "SocketBindAllow", []Bind{{0, 6, 0, 0}}},
		{"NFTSet", "cgroup:inet:filter:web user:ip6:a:b", "NFTSet", []Set{{3, 1, "filter", "web"}, {4, 10, "a", "b"}}},
		{"SendSIGHUP", "yes", "SendSIGHUP", true},
		{"KillSignal", "SIGRTMIN+3", "KillSignal", int32(37)},
		{"ManagedOOMMemoryPressureLimit", "100%", "ManagedOOMMemoryPressureLimit", uint32(math.MaxUint32)},
	} {
		name, value, err := Of(test.name, test.value)
		if err != nil || name != test.property || !reflect.DeepEqual(value, test.want) {
			t.Errorf("%s=%s: %s=%v (%v), want %s=%v", test.name, test.value, name, value, err, test.property, test.want)
		}
	}
	for _, bad := range [][2]string{
		{"ExecStart", "/bin/true"}, {"ExecStartPost", "/bin/true"}, {"User", "root"}, {"MemoryMax", "much"}, {"MemoryMax", "-1"}, {"TasksMax", "1.5"},
		{"CPUQuota", "half"}, {"CPUQuota", "50"}, {"AllowedCPUs", "3-1"}, {"AllowedCPUs", "0-99999999"}, {"TimeoutStopSec", "soon"}, {"KillSignal", "TERM"}, {"KillSignal", "SIGRTMAX+9"},
		{"IPAddressAllow", "here"}, {"SendSIGHUP", "maybe"},
		{"MemoryMax", "101%"}, {"MemoryMax", "0"}, {"TasksMax", "0"}, {"CPUWeight", "0"}, {"IOWeight", "10001"}, {"CPUQuota", "0%"}, {"CPUQuota", "1e300%"}, {"RuntimeMaxSec", "99999999999999999999w"},
		{"DevicePolicy", "open"}, {"DeviceAllow", "/etc/passwd r"}, {"DeviceAllow", "/dev/fuse x"}, {"ManagedOOMPreference", "no"},
		{"SocketBindAllow", "sctp:80"}, {"SocketBindAllow", "0"}, {"SocketBindAllow", "90-80"}, {"NFTSet", "cgroup:inet:x"}, {"NFTSet", "address:inet:a:b"}, {"BPFProgram", "egress"},
	} {
		if name, value, err := Of(bad[0], bad[1]); err == nil {
			t.Errorf("%s=%s became %s=%v", bad[0], bad[1], name, value)
		}
	}
}

// FuzzOf: whatever a definition has is a value or a fault.
func FuzzOf(f *testing.F) {
	for name := range kinds {
		for _, value := range []string{"1", "50%", "1G", "/dev/x 1", "any", "0-3", "yes", "tcp:80", "~lo", "cgroup:inet:a:b", "\"/dev/a b\" r"} {
			f.Add(name, value)
		}
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		property, v, err := Of(name, value)
		if err == nil && (property == "" || v == nil) || err != nil && (property != "" || v != nil || err.Error() == "") {
			t.Errorf("%s=%s is %s=%v (%v)", name, value, property, v, err)
		}
	})
}
