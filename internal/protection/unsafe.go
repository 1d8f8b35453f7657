// SPDX-License-Identifier: Apache-2.0

//go:build unsafe_attack

package protection

import (
	"os"
	"slices"
	"strings"
)

var off = strings.Split(os.Getenv("UNITC_UNSAFE"), ",")

func Off(name string) bool { return slices.Contains(off, name) }
