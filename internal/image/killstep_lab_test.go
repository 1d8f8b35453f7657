// SPDX-License-Identifier: Apache-2.0

//go:build lab

package image

// killStep: here every single change is tried.
const killStep = 1
