// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// inheritance is what a process in a container gets of this one beside its standard
// streams: descriptors, and the variables that tell of them.
type inheritance struct {
	descriptors int // from 3 on
	variables   []string
	ownPID      []string // names of those that have the process's own number
}

// inherited are the sockets that systemd has opened (sd_listen_fds(3)), and behind
// them what --preserve-fds asks for.
func (c *call) inherited() (inheritance, error) {
	var in inheritance
	preserve := 0
	if c.given("preserve-fds") {
		v, err := c.integer("preserve-fds")
		if err != nil || v < 0 || v > 1<<16 {
			return in, fmt.Errorf("invalid value %q for flag -preserve-fds", c.get("preserve-fds"))
		}
		preserve = int(v)
	}
	sockets := listenFDs()
	in.descriptors = sockets + preserve
	for fd := 3; fd < 3+in.descriptors; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			// runc's words: engines read them.
			return in, fmt.Errorf("unable to stat preserved-fd %d (of %d): please check that fd %d (of %d extra fds) is open: %w", fd-3, in.descriptors, fd-3, in.descriptors, err)
		}
	}
	if sockets > 0 {
		in.variables, in.ownPID = []string{"LISTEN_FDS=" + strconv.Itoa(sockets)}, []string{"LISTEN_PID"}
		if names := os.Getenv("LISTEN_FDNAMES"); names != "" {
			in.variables = append(in.variables, "LISTEN_FDNAMES="+names)
		}
	}
	return in, nil
}

// listenFDs is how many sockets systemd has opened for this process. Where LISTEN_PID
// is another's they are not for us: Podman leaves the variables as they are and counts
// the sockets in --preserve-fds. Without LISTEN_PID they are, as with crun: a shell
// cannot know the number beforehand.
func listenFDs() int {
	if pid, given := os.LookupEnv("LISTEN_PID"); given && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 1<<16 {
		return 0
	}
	return n
}

// environment adds the variables to those of the configuration, whose own of these
// names speak of other descriptors.
func (in *inheritance) environment(env []string) []string {
	if len(in.variables) == 0 && len(in.ownPID) == 0 {
		return env
	}
	ours := map[string]bool{}
	for _, v := range slices.Concat(in.variables, in.ownPID) {
		name, _, _ := strings.Cut(v, "=")
		ours[name] = true
	}
	env = slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return ours[name]
	})
	return append(env, in.variables...)
}
