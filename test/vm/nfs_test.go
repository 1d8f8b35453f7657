// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// nfsServer has the kernel serve a directory by NFS 4 on the loopback. The
// machine has no nfs-utils: what exportfs(8) and rpc.mountd(8) would tell the
// kernel of the export is told here (nfsd(7)), and mount.nfs4 does what
// mount.nfs(8) does for this one case.
func nfsServer(t *testing.T, dir string) {
	t.Helper()
	for _, module := range []string{"nfsd", "nfsv4"} {
		run(t, "modprobe", module)
	}
	run(t, "mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
	t.Cleanup(func() { run(t, "umount", "/proc/fs/nfsd") })
	tell := func(path, line string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(line + "\n"); err != nil {
			t.Fatalf("telling %s %q: %v", path, line, err)
		}
	}
	const (
		never = "2147483647"
		// fsid=0, insecure, no_subtree_check, async; no squashing.
		flags = 0x2000 | 0x2 | 0x400 | 0x10
	)
	tell("/proc/fs/nfsd/versions", "-3 +4 +4.2")
	// Nothing is to be reclaimed, but the first file waits for the end of this.
	tell("/proc/fs/nfsd/nfsv4leasetime", "10")
	tell("/proc/fs/nfsd/nfsv4gracetime", "10")
	tell("/proc/fs/nfsd/portlist", "tcp 2049")
	tell("/proc/fs/nfsd/threads", "2")
	t.Cleanup(func() { tell("/proc/fs/nfsd/threads", "0") })
	tell("/proc/net/rpc/auth.unix.ip/channel", "nfsd 127.0.0.1 "+never+" here")
	tell("/proc/net/rpc/nfsd.export/channel", fmt.Sprintf("here %s %s %d 65534 65534 0", dir, never, flags))
	tell("/proc/net/rpc/nfsd.fh/channel", "here 1 \\x00000000 "+never+" "+dir)
	t.Cleanup(func() {
		for _, cache := range []string{"nfsd.fh", "nfsd.export", "auth.unix.ip"} {
			tell("/proc/net/rpc/"+cache+"/flush", "2147483646")
		}
	})
	write(t, "/usr/sbin/mount.nfs4", "#!/bin/sh\n# SOURCE TARGET -o OPTIONS\nexec mount -i -t nfs4 -o \"$4,addr=${1%%:*},clientaddr=127.0.0.1,vers=4.2\" \"$1\" \"$2\"\n")
	if err := os.Chmod("/usr/sbin/mount.nfs4", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/usr/sbin/mount.nfs4") })
}

// A volume that is a directory of an NFS server: mounted by systemd when the
// first container starts, shared, gone with the last; what was written is on
// the server.
func TestVolumeOnNFS(t *testing.T) {
	if os.Getenv("UNITC_LAB_SLOW") == "" {
		t.Skip("a server takes a minute and a half until it lets a file be opened: UNITC_LAB_SLOW=1 waits for it")
	}
	dir := "/srv/nfs-export"
	write(t, dir+"/there", "from the server\n")
	t.Cleanup(func() { os.RemoveAll(dir) })
	run(t, "chmod", "777", dir)
	nfsServer(t, dir)
	write(t, "/etc/unitc/shared.yaml", `services:
  one:
    rootfs: host
    userns_mode: host
    init: true
    command: [sh, -c, 'cat /var/data/there >/var/data/copy-of-one && exec sleep infinity']
    volumes: [data:/var/data]
  two:
    rootfs: host
    userns_mode: host
    init: true
    command: [sh, -c, 'exec sleep infinity']
    volumes: [data:/var/data:ro]
volumes:
  data: {driver_opts: {type: nfs4, o: "addr=127.0.0.1,rw", device: ":/"}}
`)
	t.Cleanup(func() {
		forget(t, "shared-one", "shared-two")
		os.Remove("/etc/unitc/shared.yaml")
		_ = exec.Command("unitc", "volume", "rm", "shared_data").Run() // a failed start made none
	})
	run(t, "systemctl", "daemon-reload")
	run(t, "systemctl", "start", "shared-one", "shared-two")
	await(t, "the server has what was written", func() bool {
		b, err := os.ReadFile(dir + "/copy-of-one")
		return err == nil && string(b) == "from the server\n"
	})
	const mount = `run-unitc\x2dvolumes-shared_data.mount`
	if state := show(t, mount, "ActiveState"); state != "active" {
		t.Errorf("%s is %s", mount, state)
	}
	inside, err := os.ReadFile("/proc/" + show(t, "shared-two", "MainPID") + "/mountinfo")
	if err != nil || !strings.Contains(string(inside), " - nfs4 127.0.0.1:/ ") {
		t.Errorf("the container's mounts are %v\n%s", err, inside)
	}
	run(t, "systemctl", "stop", "shared-one", "shared-two")
	await(t, "the mount is gone", func() bool { return show(t, mount, "ActiveState") == "inactive" })
}
