// SPDX-License-Identifier: Apache-2.0

package seccomp

import _ "embed"

//go:embed default-amd64.bin
var defaultProgram string
