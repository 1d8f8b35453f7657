// SPDX-License-Identifier: Apache-2.0

package runtime

// seccompMode is what /proc/self/status shows under the defaults.
const seccompMode = "0"
