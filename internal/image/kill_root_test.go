// SPDX-License-Identifier: Apache-2.0

package image

func pullForKill(string) int { return 0 }
