// SPDX-License-Identifier: Apache-2.0

// Package systemd holds tests that run as root inside a throwaway machine whose
// PID 1 is systemd and in which unitc is installed. They start and stop units
// and write to /etc, so they are built with the tag lab only and refuse to run
// where test/lab did not start them:
//
//	bin/lab gotest trixie ./test/systemd -test.v -test.run TestX
//
// This lane has no cgroup controllers and no boot worth the name: what needs
// them belongs into package vm.
package systemd
