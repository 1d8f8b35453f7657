// SPDX-License-Identifier: Apache-2.0

package seccomp

import "golang.org/x/sys/unix"

// Native is the audit architecture that this program was built for.
const Native = unix.AUDIT_ARCH_X86_64
