// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func init() {
	ociCases = append(ociCases,
		ociCase{"network devices are moved, with their addresses", movedDevices},
		ociCase{"network devices are moved below another user namespace", func(b *bundle) error {
			ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 200_000, Size: 65536}}
			b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = ids, ids
			return movedDevices(b)
		}},
		ociCase{"network devices that cannot be moved stay", unmovedDevices})
}

// devicePair makes a device for a container and its peer on the host. Whichever
// end is deleted, both are. It gets its name last: a start may be waiting for it.
func devicePair() error {
	return errors.Join(ip("link", "add", "lab-new", "mtu", "1400", "type", "veth", "peer", "name", "lab-peer"),
		ip("address", "add", "192.0.2.77/24", "dev", "lab-new"), ip("address", "add", "2001:db8:77::7/64", "dev", "lab-new", "nodad"),
		ip("link", "set", "lab-new", "name", "lab-dev"))
}

func dropPair() { _ = ip("link", "delete", "lab-peer") }

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %q: %w: %s", args, err, out)
	}
	return nil
}

func onHost(name string) bool { _, err := os.Stat("/sys/class/net/" + name); return err == nil }

func movedDevices(b *bundle) error {
	defer dropPair()
	if err := devicePair(); err != nil {
		return err
	}
	b.spec.Version = "1.3.0"
	b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"lab-dev": {Name: "lan%d"}}
	seen := b.dir + "/seen"
	b.spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{
		Path: "/bin/sh", Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Args: []string{"sh", "-c", `pid=$(sed 's/.*"pid": *\([0-9]*\).*/\1/'); nsenter --net=/proc/$pid/ns/net ip -o link >` + seen},
	}}}
	out, err := b.output("ip -o address show dev lan0; cat /sys/class/net/lan0/mtu; ip link show dev lan0")
	if err != nil {
		return err
	}
	for _, want := range []string{"192.0.2.77/24", "2001:db8:77::7/64", "\n1400\n", ",UP"} {
		if !strings.Contains(out, want) {
			err = errors.Join(err, fmt.Errorf("the container does not see %q: %s", want, out))
		}
	}
	if text, rerr := os.ReadFile(seen); rerr != nil || !strings.Contains(string(text), "lan0") {
		err = errors.Join(err, rerr, fmt.Errorf("the hook does not see the device: %s", text))
	}
	// A veth ends with the namespace that it was moved to, and its peer with it.
	return errors.Join(err, eventually(func() error {
		if onHost("lab-dev") || onHost("lab-peer") {
			return errors.New("the pair has outlived the container")
		}
		return nil
	}))
}

func unmovedDevices(b *bundle) error {
	defer dropPair()
	err := devicePair()
	b.spec.Version = "1.3.0"
	for _, c := range []struct {
		devices map[string]specs.LinuxNetDevice
		spaces  []specs.LinuxNamespace
		says    string
	}{
		{map[string]specs.LinuxNetDevice{"lab-dev": {}, "no-such": {}}, b.spec.Linux.Namespaces, "no-such"},
		{map[string]specs.LinuxNetDevice{"lab-dev": {Name: "lo"}}, b.spec.Linux.Namespaces, "has a device lo already"},
		{map[string]specs.LinuxNetDevice{"lab-dev": {Name: "a/b"}}, b.spec.Linux.Namespaces, "no name for a device"},
		{map[string]specs.LinuxNetDevice{"lab-dev": {}}, []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.UTSNamespace}}, "linux.netDevices"},
		{map[string]specs.LinuxNetDevice{"lab-dev": {}}, []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"},
		}, "is the host's"},
	} {
		b.spec.Linux.NetDevices, b.spec.Linux.Namespaces = c.devices, c.spaces
		err = errors.Join(err, b.write(), b.refused(c.says, "create", "--bundle", b.dir, b.id))
		if !onHost("lab-dev") {
			return errors.Join(err, fmt.Errorf("%v: the device has gone", c.devices))
		}
	}
	return err
}

// By a unit the same is done: the launch helper moves the device.
//
//lab:once
func TestBundleNetDevices(t *testing.T) {
	leavesNothing(t, func() {
		defer dropPair()
		if err := devicePair(); err != nil {
			t.Fatal(err)
		}
		b := unitBundle(t, "ip -o -4 address show dev lan0")
		defer os.RemoveAll(b.dir)
		b.spec.Version = "1.3.0"
		b.spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"lab-dev": {Name: "lan0"}}
		b.writeOrFail(t)
		if out, status := command(t, "unitc", "run", "--bundle", b.dir); status != 0 || !strings.Contains(out, "192.0.2.77/24") {
			t.Errorf("the unit ends with %d and prints %q", status, out)
		}
		// The pair has ended with the container, so that a second start says what is missing.
		if err := eventually(func() error {
			if onHost("lab-peer") {
				return errors.New("the pair has outlived the unit")
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if out, status := command(t, "unitc", "run", "--bundle", b.dir); status == 0 || !strings.Contains(out, "network device lab-dev") {
			t.Errorf("without the device the unit ends with %d and prints %q", status, out)
		}
	})
}
