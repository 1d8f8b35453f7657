// SPDX-License-Identifier: Apache-2.0

//go:build lab

package layer

const millionFiles = 1_000_000
