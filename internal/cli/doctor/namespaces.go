// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func namespaces(m Machine) result {
	var missing []string
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"} {
		if _, err := os.Lstat(m.Proc + "/self/ns/" + kind); err != nil {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		return bad("build the kernel with them", "no namespaces of kind %s", strings.Join(missing, ", "))
	}
	return good("mnt pid net ipc uts cgroup user")
}

// sampleIDs are mapped as a container's are, from a range that nobody has.
const sampleIDs = 0x7e000000

// inUserNamespace holds a process in a user namespace of its own while look
// runs.
func inUserNamespace(look func(pid int) error) error {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: sampleIDs, Size: 65536}}
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = io.Discard
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("clone with CLONE_NEWUSER: %w", err)
	}
	err = look(cmd.Process.Pid)
	in.Close() // cat ends
	if waitErr := cmd.Wait(); err == nil {
		err = waitErr
	}
	return err
}

func userNamespace(m Machine) result {
	if data, err := os.ReadFile(m.Proc + "/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(data)) == "0" {
		return bad("sysctl user.max_user_namespaces=15000, or `userns_mode: host`", "user namespaces are forbidden (user.max_user_namespaces is 0)")
	}
	if !isRoot() {
		return asRoot("user namespaces can be made")
	}
	if err := inUserNamespace(func(int) error { return nil }); err != nil {
		return bad("`userns_mode: host` does without, and gives up what they protect from", "user namespaces: %v", err)
	}
	return good("can be made, with ids of their own")
}
