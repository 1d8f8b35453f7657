// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv("UNITC_LAB") == "" {
		fmt.Fprintln(os.Stderr, "these tests change the machine they run on; start them with bin/lab gotest SUITE ./test/systemd")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
