// SPDX-License-Identifier: Apache-2.0

// Command unitc is the operator's tool. systemctl and journalctl stay the
// interface to what runs; unitc adds what they lack: it explains definitions,
// shows what would be launched, and enables generated units. This directory is
// wiring only, a file for each verb.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
