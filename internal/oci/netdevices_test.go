// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/unitc/unitc/internal/oci/bundle"
)

func TestNetDevices(t *testing.T) {
	type devices = map[string]specs.LinuxNetDevice
	own := []specs.LinuxNamespace{{Type: specs.NetworkNamespace}}
	for _, c := range []struct {
		namespaces []specs.LinuxNamespace
		devices    devices
		says       string // "" = right
	}{
		{own, devices{"eth0": {}, "eth1": {Name: "lan0"}, "eth2": {Name: "net%d"}, "eth3": {Name: "net%d"}, "eth4": {Name: "%d"}}, ""},
		{own, devices{"a23456789012345": {Name: "b23456789012345"}}, ""},
		{own, devices{"eth0": {Name: "eth1"}, "eth1": {Name: "eth0"}}, ""},
		{[]specs.LinuxNamespace{{Type: specs.NetworkNamespace, Path: "/run/netns/x"}}, devices{"eth0": {}}, ""},
		{nil, nil, ""},
		{nil, devices{"eth0": {}}, "linux.namespaces has none"},
		{own, devices{"": {Name: "lan0"}}, "no name of a device"},
		{own, devices{"eth%d": {Name: "lan0"}}, "no name of a device"},
		{own, devices{"a234567890123456": {Name: "lan0"}}, "no name of a device"},
		{own, devices{"eth0": {Name: "b234567890123456"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a2345678901234%d"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "../x"}}, "no name for a device"},
		{own, devices{"eth0": {Name: ".."}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a:b"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a b"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a%db"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a%s"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "a%d%d"}}, "no name for a device"},
		{own, devices{"eth0": {Name: "x"}, "eth1": {Name: "x"}}, "eth0 and eth1 are both to be x"},
		{own, devices{"eth0": {Name: "eth1"}, "eth1": {}}, "eth0 and eth1 are both to be eth1"},
	} {
		err := errors.Join(bundle.CheckNetDevices(&specs.Spec{Linux: &specs.Linux{Namespaces: c.namespaces, NetDevices: c.devices}})...)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v, want %q", c.devices, err, c.says)
		}
	}
}
