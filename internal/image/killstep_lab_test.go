// SPDX-License-Identifier: Apache-2.0

//go:build lab

package image

// killStep: here every single change is tried.
const killStep = 1

// millionFiles: here it is a whole one.
const millionFiles = 1_000_000
