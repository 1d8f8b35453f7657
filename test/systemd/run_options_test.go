// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Options of docker run mean in `unitc run` what unitc convert makes of them.
//
//lab:once
func TestRunOptionsOfDocker(t *testing.T) {
	cleanReload(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("of the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(script string, options ...string) (string, int) {
		t.Helper()
		args := append([]string{"sh", "-c", "cd " + dir + `; exec unitc run --rootfs host "$@"`, "sh"}, options...)
		return command(t, args[0], append(args[1:], "sh", "-c", script)...)
	}
	for _, c := range []struct {
		options []string
		script  string
		want    string
	}{
		{[]string{"--sysctl", "net.core.somaxconn=77"}, "cat /proc/sys/net/core/somaxconn", "77\n"},
		{[]string{"--mount", "type=bind,src=./file,dst=/srv/file,ro"}, "cat /srv/file; echo x >/srv/file || true", "of the host\n"},
		{[]string{"--group-add", "4711", "--group-add=video"}, "id -G", "4711"},
		{[]string{"--oom-score-adj", "321"}, "cat /proc/self/oom_score_adj", "321\n"},
		{[]string{"--dns-search", "example.test", "--network", "host"}, "cat /etc/resolv.conf", "search example.test\n"},
		{[]string{"--no-healthcheck", "-e", "OTHER=$y"}, "echo $OTHER", "$y\n"},
		{[]string{"--domainname", "test.example"}, "cat /proc/sys/kernel/domainname", "test.example\n"},
		{[]string{"--uts", "host"}, "hostname", ""},
		{[]string{"--stop-timeout", "3", "--cpu-shares", "512", "-c", "256", "--annotation", "a=b"}, "echo fine", "fine\n"},
	} {
		out, status := run(c.script, c.options...)
		if status != 0 || !strings.Contains(out, c.want) {
			t.Errorf("%q: %d, %s", c.options, status, out)
		}
	}
	if out, status := run("sleep 1000", "--timeout", "1"); status == 0 || strings.Contains(out, "125") {
		t.Errorf("--timeout: %d, %s", status, out)
	}
	for _, c := range []struct{ option, want string }{
		{"--restart=always", "run: no --restart: in a definition it becomes restart"},
		{"--sig-proxy=false", "run: no --sig-proxy: leave it away: "},
		{"--oom-kill-disable", "cgroup v2 cannot keep the kernel from killing"},
		{"--mount=type=npipe,dst=/x", "--mount: mounts of type npipe"},
		{"--cpu-shares=many", "--cpu-shares: "},
		{"--nonsense", "unknown flag: --nonsense"},
	} {
		out, status := run("true", c.option)
		if status == 0 || !strings.Contains(out, c.want) {
			t.Errorf("%s: %d, %s", c.option, status, out)
		}
	}
	place(t, "/root/once.yaml", "rootfs: host\ngroup_add: ['7']\ncommand: [id, -G]\n")
	if out := must(t, "unitc", "run", "--group-add", "4711", "--file", "/root/once.yaml"); !strings.Contains(out, "7") || !strings.Contains(out, "4711") {
		t.Errorf("over a definition: %s", out)
	}
	await(t, "nothing of them is left", func() bool {
		left, err := filepath.Glob("/run/unitc/*run-*")
		return err == nil && len(left) == 0
	})
}

// Places on networks, in docker's words.
//
//lab:once
func TestRunOptionsOfNetworks(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			cleanReload(t)
			place(t, "/etc/unitc/runnet.network.yaml", "ipam: {config: [{subnet: 203.0.113.0/24}, {subnet: '2001:db8:7::/64'}]}\n")
			reload(t)
			run := func(script string, options ...string) (string, int) {
				t.Helper()
				return command(t, "unitc", append(append([]string{"run", "--rootfs", "host"}, options...), "sh", "-c", script)...)
			}
			out, status := run("ip -o address show eth0; ip -o link show eth0; getent -s dns ahostsv4 www", "--network", "runnet", "--ip", "203.0.113.9", "--ip6", "2001:db8:7::9", "--mac-address", "02:42:ac:11:65:43", "--network-alias", "www")
			for _, want := range []string{"203.0.113.9/24", "2001:db8:7::9/64", "02:42:ac:11:65:43", "203.0.113.9 "} {
				if status != 0 || !strings.Contains(out, want) {
					t.Errorf("%d, without %s: %s", status, want, out)
				}
			}
			if out, status := run("ip -o -4 address", "--net", "runnet", "--network", "unitc0"); status != 0 || !strings.Contains(out, "eth0    inet 203.0.113.") || !strings.Contains(out, "eth1    inet 10.") {
				t.Errorf("on two networks: %d, %s", status, out)
			}
			if out, status := run("getent -s dns ahostsv4 www", "--net-alias", "www"); status != 0 || !strings.HasPrefix(out, "10.") {
				t.Errorf("an alias on the network of lone containers: %d, %s", status, out)
			}
			for want, options := range map[string][]string{
				"--network none: goes with no other network": {"--network", "none", "--network", "runnet"},
				"--network host: --ip":                       {"--network", "host", "--ip", "203.0.113.9"},
				"203.0.114.9 cannot be had in":               {"--network", "runnet", "--ip", "203.0.114.9"},
				"is the MAC address of a group":              {"--mac-address", "03:42:ac:11:65:43"},
			} {
				if out, status := run("true", options...); status == 0 || !strings.Contains(out, want) {
					t.Errorf("%q: %d, %s", options, status, out)
				}
			}
		})
	})
}
