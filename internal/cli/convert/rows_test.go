// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// samples are values of options; those that are not here take "x".
var samples = map[string]string{
	"add-host": "db:192.0.2.1", "annotation": "a=b", "blkio-weight": "100", "cap-add": "NET_RAW", "cap-drop": "NET_RAW", "cgroupns": "private", "cpu-period": "10000", "cpu-quota": "5000",
	"cpu-shares": "512", "cpus": "1.5", "cpuset-cpus": "0-1", "cpuset-mems": "0", "device": "/dev/fuse", "device-cgroup-rule": "c 1:3 rwm", "device-read-bps": "/dev/sda:1mb",
	"device-read-iops": "/dev/sda:10", "device-write-bps": "/dev/sda:1mb", "device-write-iops": "/dev/sda:10", "dns": "192.0.2.1", "dns-option dns-opt": "ndots:1", "dns-search": "example.org",
	"domainname": "example.org", "env": "A=b", "gpus": "all", "group-add": "20", "health-interval": "5s", "health-on-failure": "kill", "health-retries": "3", "health-start-interval": "5s",
	"health-start-period": "5s", "health-timeout": "5s", "ip": "192.0.2.7", "ip6": "2001:db8::7", "ipc": "host", "label": "a=b", "link": "db", "log-driver": "none", "log-opt": "tag=x",
	"mac-address": "02:42:ac:11:00:02", "memory": "512m", "memory-reservation": "256m", "memory-swap": "1g", "mount": "type=bind,src=/a,dst=/b", "network-alias net-alias": "www",
	"oom-score-adj": "5", "pid": "host", "pids-limit": "10", "platform": "linux/arm64", "publish": "80:80", "pull": "always", "read-only-tmpfs": "true", "requires": "db", "restart": "always",
	"runtime": "kata", "sdnotify": "container", "seccomp-file": "/x.json", "secret": "token", "security-opt": "seccomp=unconfined", "shm-size": "64m", "stop-signal": "SIGINT", "stop-timeout": "5",
	"sysctl": "net.core.somaxconn=1", "timeout": "5", "tmpfs": "/x", "tz": "Europe/Paris", "ulimit": "nofile=5", "unsetenv": "A", "userns": "host", "uts": "host", "volume": "/a:/b", "workdir": "/srv",
}

// Some say what they say beside others.
var companions = map[string][]string{
	"ip": {"--network", "front"}, "ip6": {"--network", "front"}, "network-alias net-alias": {"--network", "front"}, "memory-swap": {"--memory", "512m"}, "memory-reservation": {"--memory", "512m"},
	"cpu-quota": {"--cpu-period", "10000"}, "cpu-period": {"--cpu-quota", "5000"}, "health-on-failure": {"--restart", "always"}, "read-only-tmpfs": {"--read-only"},
	"health-interval": {"--health-cmd", "x"}, "health-retries": {"--health-cmd", "x"}, "health-start-interval": {"--health-cmd", "x"}, "health-start-period": {"--health-cmd", "x"}, "health-timeout": {"--health-cmd", "x"},
}

var firstKey = regexp.MustCompile("^`([a-z_-]+)")

// What the manual says an option becomes is there, and unitc does not refuse it.
func TestEveryOptionBecomesItsKey(t *testing.T) {
	labels := t.TempDir() + "/labels" // which is read as it is checked
	if err := os.WriteFile(labels, []byte("a=b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		key := firstKey.FindStringSubmatch(o.becomes)
		if key == nil || o.name == "seccomp-file" {
			continue
		}
		name, _, _ := strings.Cut(o.name, " ")
		text, ok := samples[o.name]
		if !ok {
			text = "x"
		}
		switch {
		case name == "name":
			continue // of a command line the file has it
		case o.flag:
			text = "true"
		case name == "label-file":
			text = labels
		}
		line := append([]string{"podman", "run"}, companions[o.name]...)
		line = append(line, "--"+name+"="+text, "example.com/x")
		s := New(testHost)
		s.Command(line)
		made := repaired(t, s)
		if !regexp.MustCompile(`(?m)^`+key[1]+`:`).MatchString(made) || strings.Contains(made, "refuses") {
			t.Errorf("%s makes no %s:\n%s", line, key[1], made)
		}
	}
}
