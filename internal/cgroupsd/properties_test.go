// SPDX-License-Identifier: Apache-2.0

package cgroupsd

import (
	"math"
	"reflect"
	"testing"
)

func TestConvert(t *testing.T) {
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
		{"DeviceAllow", "/dev/fuse rw", "DeviceAllow", []deviceRule{{"/dev/fuse", "rw"}}},
		{"DeviceAllow", `"/dev/my disk" r`, "DeviceAllow", []deviceRule{{"/dev/my disk", "r"}}},
		{"DeviceAllow", "char-pts rwm", "DeviceAllow", []deviceRule{{"char-pts", "rwm"}}},
		{"IOReadBandwidthMax", "/dev/100%% 5M", "IOReadBandwidthMax", []deviceRate{{"/dev/100%", 5_000_000}}},
		{"IODeviceLatencyTargetSec", "/dev/sda 25ms", "IODeviceLatencyTargetUSec", []deviceRate{{"/dev/sda", 25_000}}},
		{"IPAddressDeny", "any", "IPAddressDeny", []address{{2, []byte{0, 0, 0, 0}, 0}, {10, make([]byte, 16), 0}}},
		{"IPAddressAllow", "10.1.2.3", "IPAddressAllow", []address{{2, []byte{10, 1, 2, 3}, 32}}},
		{"KillSignal", "SIGRTMIN+3", "KillSignal", int32(37)},
		{"KillSignal", "INT", "KillSignal", int32(2)},
		{"SendSIGHUP", "yes", "SendSIGHUP", true},
		{"ManagedOOMMemoryPressureLimit", "100%", "ManagedOOMMemoryPressureLimit", uint32(math.MaxUint32)},
	} {
		p, err := convert(test.name, test.value)
		if err != nil || p.Name != test.property || !reflect.DeepEqual(p.Value, test.want) {
			t.Errorf("%s=%s: %s=%v (%v), want %s=%v", test.name, test.value, p.Name, p.Value, err, test.property, test.want)
		}
	}
	for _, bad := range [][2]string{
		{"ExecStart", "/bin/true"}, {"ExecStartPost", "/bin/true"}, {"User", "root"}, {"MemoryMax", "much"}, {"MemoryMax", "-1"}, {"TasksMax", "1.5"},
		{"CPUQuota", "half"}, {"CPUQuota", "50"}, {"AllowedCPUs", "3-1"}, {"AllowedCPUs", "0-99999999"}, {"TimeoutStopSec", "soon"}, {"KillSignal", "SIGNOPE"},
		{"IPAddressAllow", "here"}, {"SendSIGHUP", "maybe"},
	} {
		if p, err := convert(bad[0], bad[1]); err == nil {
			t.Errorf("%s=%s became %s=%v", bad[0], bad[1], p.Name, p.Value)
		}
	}
}
