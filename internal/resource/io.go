// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"strconv"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/unitfile"
)

// blkioToIO keeps "normal" normal, as systemd did for BlockIOWeight= (v252
// cgroup_weight_blkio_to_io): 500 becomes 100. runc's line from 10…1000 to
// 1…10000 would make 4950 of it, fifty times a neighbour without a weight.
func blkioToIO(weight int64) int64 {
	return min(max(weight*100/500, weightMin), weightMax)
}

func ioWeight(weight int64) []string {
	if weight <= 0 {
		return nil
	}
	return positive(blkioToIO(weight))
}

func asIs(n int64) int64 { return n }

func rates(list []definition.DeviceRate, convert func(int64) int64) []string {
	var values []string
	for _, d := range list {
		if d.Rate > 0 && canName(d.Path) {
			values = append(values, unitfile.Word(d.Path)+" "+strconv.FormatInt(convert(d.Rate), 10))
		}
	}
	return values
}
