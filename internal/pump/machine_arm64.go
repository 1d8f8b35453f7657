// SPDX-License-Identifier: Apache-2.0

package pump

const machine = 183 // EM_AARCH64
