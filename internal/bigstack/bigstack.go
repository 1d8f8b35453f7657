// SPDX-License-Identifier: Apache-2.0

// Package bigstack makes the stack of a program's first goroutine large before it
// is needed. A program imports it for that alone.
//
// A stack begins with 2 KiB, grows on its own and doubles each time, and then Go
// looks up every frame in tables which a program that soon ends needs for nothing
// else. It grows once here, before the packages that take stack in their
// initialization, and with two frames. Of 64 KiB the pages that nobody uses take no
// memory.
package bigstack
