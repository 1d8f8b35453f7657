// SPDX-License-Identifier: Apache-2.0

package pump

const machine = 62 // EM_X86_64
