// SPDX-License-Identifier: Apache-2.0

// Package cgroupsd is the only door to systemd over D-Bus, and the only place
// that makes cgroups: it starts the delegated transient scope of a launch,
// prepares the payload's leaf below it and reads unit properties back. It
// writes only below a delegated cgroup (C-2) and asks systemd for all else.
package cgroupsd
