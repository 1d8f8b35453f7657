// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package bigstack

import "testing"

// It can be called again, on any goroutine, and comes back.
func TestGrow(t *testing.T) {
	done := make(chan bool)
	go func() { grow(); done <- true }()
	<-done
	grow()
}
