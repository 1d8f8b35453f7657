// SPDX-License-Identifier: Apache-2.0

package seccomp

import _ "embed"

//go:embed default-arm64.bin
var defaultProgram string
