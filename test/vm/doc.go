// SPDX-License-Identifier: Apache-2.0

// Package vm holds tests that run as root inside a throwaway virtual machine
// with a kernel of its own: resource limits, boot and shutdown. They are built
// with the tag lab only and refuse to run where test/lab did not start them:
//
//	bin/lab gotest -vm trixie ./test/vm -test.v -test.run TestX
//
// The machine is emulated: times mean nothing here, ratios do. All tests share
// one machine; those named TestBoot… go on after a reboot, see phases.
package vm
