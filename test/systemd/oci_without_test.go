// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/seccomp/seccomptest"
)

// A kernel, or a filter of the unit, that lacks a call which only the runtime's own
// verbs make: each verb does what it does with the call, or says so and changes
// nothing. A container never runs without the rules for its devices.
//
//lab:once
func TestOCIWithoutCalls(t *testing.T) {
	verbs := [][]string{{"create", "--bundle", "", ""}, {"start", ""}, {"kill", "", "USR1"}, {"kill", "", "KILL"}, {"delete", ""}}
	after := []string{"created", "running", "running", "stopped", ""}
	// fails are the verbs that cannot do without it, by what they say.
	for call, fails := range map[string]map[string]string{
		"bpf":                      {"create": "device rules"},
		"pidfd_open":               {"start": "pidfd_open", "kill": "pidfd_open"},
		"pidfd_send_signal":        {"kill": "unable to signal init"},
		"copy_file_range sendfile": {},
		"statx":                    {},
		"fchmodat2":                {},
	} {
		for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
			name := call + ": " + unix.ErrnoName(errno)
			refusal := seccomptest.Refusal{Calls: strings.Split(call, " "), Errno: errno}
			err := runCase(t, ociCase{name, func(b *bundle) (err error) {
				b.spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
				b.spec.Process.Args = []string{"sh", "-c", "trap : USR1; while sleep 1; do :; done"}
				if err := b.write(); err != nil {
					return err
				}
				for i, verb := range verbs {
					args := append([]string(nil), verb...)
					for at, arg := range args {
						if arg == "" {
							args[at] = b.id
						}
					}
					if verb[0] == "create" {
						args[2] = b.dir
					}
					refused := func() error {
						if says, ok := fails[verb[0]]; ok {
							return b.refused(says, args...)
						}
						return b.ok(args...)
					}
					err = errors.Join(err, refusal.Thread(refused))
					if _, ok := fails[verb[0]]; ok {
						if i > 0 {
							err = errors.Join(err, b.awaitStatus(after[i-1]))
						} else if left := b.left(); left != "" {
							err = errors.Join(err, fmt.Errorf("create leaves %s", left))
						}
						err = errors.Join(err, b.ok(args...))
					}
					if after[i] != "" {
						err = errors.Join(err, b.awaitStatus(after[i]))
					}
				}
				return err
			}}, ociRuntime)
			if err != nil {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
}
