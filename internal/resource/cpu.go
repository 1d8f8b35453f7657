// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"math"
	"strconv"

	"github.com/unitc/unitc/internal/definition"
)

// The scales of cpu.shares (cgroup v1, which Compose speaks) and cpu.weight.
const (
	sharesMin, sharesMax = 2, 1 << 18
	weightMin, weightMax = 1, 10000
)

// cpuWeight is the conversion of runc 1.3.2 (opencontainers/cgroups PR 20) and
// crun 1.23: a curve through minimum, default and maximum of both scales. The
// straight line used before it made a weight of 39 of the default 1024.
func cpuWeight(shares int64) []string {
	switch {
	case shares == 0:
		return nil
	case shares <= sharesMin:
		return []string{strconv.Itoa(weightMin)}
	case shares >= sharesMax:
		return []string{strconv.Itoa(weightMax)}
	}
	l := math.Log2(float64(shares))
	weight := math.Ceil(math.Pow(10, l*(l+125)/612-7.0/34))
	return []string{strconv.Itoa(int(weight))}
}

// defaultPeriod is the kernel's and docker's cpu.cfs_period_us.
const defaultPeriod = 100_000

// cpuQuota gives percents of one processor. systemd reads hundredths of a
// percent; less than one of those would read as "no quota" and is raised to one.
func cpuQuota(r *definition.Resources) []string {
	share := r.CPUs
	if share <= 0 && r.CPUQuota > 0 {
		period := r.CPUPeriod
		if period <= 0 {
			period = defaultPeriod
		}
		share = float64(r.CPUQuota) / float64(period)
	}
	if share <= 0 || math.IsNaN(share) || share > 1<<20 {
		return nil
	}
	hundredths := max(int64(math.Round(share*10000)), 1)
	percent := strconv.FormatInt(hundredths/100, 10)
	if rest := hundredths % 100; rest != 0 {
		percent += "." + string([]byte{byte('0' + rest/10), byte('0' + rest%10)})
	}
	return []string{percent + "%"}
}

func cpuPeriod(r *definition.Resources) []string {
	if r.CPUPeriod <= 0 || cpuQuota(r) == nil {
		return nil
	}
	return []string{strconv.FormatInt(r.CPUPeriod, 10) + "us"}
}
