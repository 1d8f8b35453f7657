// SPDX-License-Identifier: Apache-2.0

//go:build !lab

package image

// killStep: every change is tried in the lab lane, some of them always. A
// prime, so that no regular pattern of calls is always missed.
const killStep = 13
