// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// resourceKeys limit what the payload may use.
var resourceKeys = []field{
	{name: "blkio_config", shape: &blkioShape, example: "{weight: 300}",
		doc:    "Weights and limits of block devices.",
		decode: decodeBlkio},
	{name: "cpu_period", shape: &shape{kinds: integer, format: &format{name: "cpu-period", pattern: integerPattern, bounds: &bounds{low: 1000, high: 1_000_000, whole: true, cure: "write microseconds, as in 100000"}}}, example: "100000",
		doc:    "The time in which cpu_quota may be used, in microseconds.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.CPUPeriod = n.int() }},
	{name: "cpu_quota", shape: &shape{kinds: integer, format: &format{name: "cpu-quota", pattern: integerPattern, bounds: &bounds{low: -1, high: 1 << 40, whole: true, cure: "write microseconds of processor time in a period, as in 50000"}}}, example: "50000",
		doc:    "The processor time that may be used in a period, in microseconds; -1 is no limit.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.CPUQuota = max(n.int(), 0) }},
	{name: "cpu_shares", shape: &shape{kinds: integer, format: &format{name: "cpu-shares", pattern: integerPattern, bounds: &bounds{low: 0, high: 262144, whole: true, cure: "write a number from 2 to 262144; 1024 is normal"}}}, example: "512",
		doc:    "The share of processor time among busy neighbours; 1024 is normal.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.CPUShares = n.int() }},
	{name: "cpus", shape: &shape{kinds: number, format: &cpusFormat}, example: "0.5",
		doc:    "The most processors' time to use; 0.5 is half of one.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.CPUs, _ = parseFloat(n.text) }},
	{name: "cpuset", shape: &shape{kinds: integer | text, format: &cpusetFormat}, example: "0-3,5",
		doc:    "The processors that may be used.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.CPUSet = n.text }},
	{name: "mem_limit", shape: &memoryShape, example: "512m",
		doc:    "The most memory that the payload may use; beyond it the kernel kills.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.MemLimit, _ = ParseBytes(n.text) }},
	{name: "mem_reservation", shape: &memoryShape, example: "256m",
		doc:    "Memory that is kept for the payload when the host runs short.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.Resources.MemReservation, _ = ParseBytes(n.text) }},
	{name: "memswap_limit", shape: &shape{kinds: number | text, format: &swapFormat}, example: "1g",
		doc:    "The most memory and swap together; -1 is no limit.",
		decode: decodeSwap},
	{name: "oom_kill_disable", shape: &shape{kinds: boolean, format: &neverFormat}, example: "false",
		doc:    "Only false: cgroup v2 can't keep the kernel from killing for memory.",
		decode: func(*reader, *definition.Service, *node) {}},
	{name: "oom_score_adj", shape: &shape{kinds: integer, format: &format{name: "oom-score", pattern: integerPattern, bounds: &bounds{low: -1000, high: 1000, whole: true, cure: "write a number from -1000 (last) to 1000 (first)"}}}, example: "500",
		doc:    "How early the payload is killed when the host runs out of memory.",
		decode: func(_ *reader, s *definition.Service, n *node) { s.OOMScoreAdj = intOf(n) }},
	{name: "pids_limit", shape: &shape{kinds: integer, format: &format{name: "pids", pattern: integerPattern, bounds: &bounds{low: -1, high: 4_194_304, whole: true, cure: "write a number, or -1 for no limit"}}}, example: "200",
		doc:    "The most processes and threads; -1 is no limit.",
		decode: decodePids},
	{name: "sysctls", shape: &shape{kinds: list | mapping, item: &stringShape, open: &shape{kinds: boolean | number | text}, merge: mergePairs}, example: "{net.core.somaxconn: 1024}",
		doc:    "Kernel settings inside the container's namespaces.",
		decode: decodeSysctls},
	{name: "ulimits", shape: &ulimitsShape, example: "{nofile: 65536}",
		doc:    "Limits of setrlimit(2) by name, as one number or as soft and hard; -1 is no limit.",
		decode: decodeUlimits},
}

func intOf(n *node) *int {
	value := int(n.int())
	return &value
}

var cpusFormat = format{
	name:    "cpus",
	pattern: `^[0-9]+(\.[0-9]*)?$`, bounds: &bounds{high: 8192},
	check: func(s string) (string, string) {
		if value, ok := parseFloat(s); !ok || value < 0 || value > 8192 || value > 0 && value < 0.01 {
			return s + " is no number of processors", "write for example 0.5 or 2"
		}
		return "", ""
	},
}

var cpusetFormat = format{
	name:    "cpuset",
	empty:   true,
	pattern: `^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`, bounds: &bounds{high: 8192},
	check: func(s string) (string, string) {
		for part := range strings.SplitSeq(s, ",") {
			first, last, isRange := strings.Cut(part, "-")
			low, err := strconv.ParseUint(first, 10, 13)
			high := low
			if err == nil && isRange {
				high, err = strconv.ParseUint(last, 10, 13)
			}
			if err != nil || high < low {
				return quote(s) + " is no list of processors", "write for example 0-3,5"
			}
		}
		return "", ""
	},
}

func decodeSwap(_ *reader, s *definition.Service, n *node) {
	if n.text == "-1" {
		s.Resources.MemswapLimit = -1
		return
	}
	s.Resources.MemswapLimit, _ = ParseBytes(n.text)
}

// decodePids takes 0 for -1, as Docker does.
func decodePids(_ *reader, s *definition.Service, n *node) {
	limit := n.int()
	if limit == 0 {
		limit = -1
	}
	s.Resources.PidsLimit = &limit
}

// neverFormat: Docker's default may be written down.
var neverFormat = format{
	name:    "never",
	pattern: falsePattern,
	check: func(s string) (string, string) {
		if value, _ := parseBool(s); value {
			return unsupported + "this: cgroup v2 can't switch the out-of-memory killer off", "write oom_score_adj: -1000 to be killed last"
		}
		return "", ""
	},
}

const falsePattern = `^([Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]?|[Oo][Ff][Ff]|0)$`

var blkioShape = shape{kinds: mapping, keys: []field{
	{name: "device_read_bps", shape: &bpsShape, example: "[{path: /dev/sda, rate: 10m}]", doc: "Most bytes a second to read."},
	{name: "device_read_iops", shape: &iopsShape, example: "[{path: /dev/sda, rate: 100}]", doc: "Most reads a second."},
	{name: "device_write_bps", shape: &bpsShape, example: "[{path: /dev/sda, rate: 10m}]", doc: "Most bytes a second to write."},
	{name: "device_write_iops", shape: &iopsShape, example: "[{path: /dev/sda, rate: 100}]", doc: "Most writes a second."},
	{name: "weight", shape: &weightShape, example: "300", doc: "The share among busy neighbours, 10 to 1000; 500 is normal."},
	{name: "weight_device", shape: &shape{kinds: list, item: &shape{kinds: mapping, keys: []field{
		{name: "path", shape: &devicePathShape, example: "/dev/sda", required: true, doc: "The block device."},
		{name: "weight", shape: &weightShape, example: "300", required: true, doc: "Its share."},
	}}}, example: "[{path: /dev/sda, weight: 300}]", doc: "The share on one device."},
}}

var (
	devicePathShape = shape{kinds: text, format: &deviceFormat}
	weightShape     = shape{kinds: integer, format: &format{name: "blkio-weight", pattern: integerPattern,
		bounds: &bounds{low: 10, high: 1000, whole: true, cure: "write a number from 10 to 1000; 500 is normal"}}}

	bpsShape = shape{kinds: list, item: &shape{kinds: mapping, keys: []field{
		{name: "path", shape: &devicePathShape, example: "/dev/sda", required: true, doc: "The block device."},
		{name: "rate", shape: &bytesShape, example: "10m", required: true, doc: "Bytes a second."},
	}}}
	iopsShape = shape{kinds: list, item: &shape{kinds: mapping, keys: []field{
		{name: "path", shape: &devicePathShape, example: "/dev/sda", required: true, doc: "The block device."},
		{name: "rate", shape: &shape{kinds: integer, format: &format{name: "iops", pattern: integerPattern,
			bounds: &bounds{low: 1, high: 1 << 40, whole: true, cure: "write a number above 0"}}}, example: "100", required: true, doc: "Operations a second."},
	}}}
)

func decodeBlkio(r *reader, s *definition.Service, n *node) {
	res := &s.Resources
	if weight := n.get("weight"); weight != nil {
		res.BlkioWeight = int(weight.int())
	}
	res.BlkioWeightDevice = r.rates(n.get("weight_device"), "weight")
	res.DeviceReadBps = r.rates(n.get("device_read_bps"), "rate")
	res.DeviceWriteBps = r.rates(n.get("device_write_bps"), "rate")
	res.DeviceReadIOps = r.rates(n.get("device_read_iops"), "rate")
	res.DeviceWriteIOps = r.rates(n.get("device_write_iops"), "rate")
}

func (r *reader) rates(n *node, key string) (all []definition.DeviceRate) {
	if n == nil {
		return nil
	}
	for _, item := range n.items {
		device := item.get("path")
		rate, _ := ParseBytes(item.get(key).str())
		switch {
		case !path.IsAbs(device.text) || hasDotDot(device.text):
			r.fault(device, "write for example /dev/sda", "%s is no absolute path of a block device", quote(device.text))
		case rate <= 0:
			r.fault(item.get(key), "write a number above 0", "%s is no rate", quote(item.get(key).text))
		default:
			all = append(all, definition.DeviceRate{Path: path.Clean(device.text), Rate: rate})
		}
	}
	return all
}

func decodeSysctls(r *reader, s *definition.Service, n *node) {
	for _, kv := range r.keyValues(n) {
		if strings.Trim(kv.Key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./*") != "" || kv.Key == "" || hasDotDot(kv.Key) {
			r.fault(n, "write for example net.core.somaxconn", "%s is no name of a kernel setting", quote(kv.Key))
			continue
		}
		s.Sysctls = append(s.Sysctls, kv)
	}
}

// keyValues reads a mapping, or a list of KEY=value in which the last one wins.
func (r *reader) keyValues(n *node) []definition.KeyValue {
	all := make([]definition.KeyValue, 0, len(n.pairs)+len(n.items))
	for i := range n.pairs {
		kv := definition.KeyValue{Key: n.pairs[i].key}
		if value := valueOf(n.pairs[i].value); value != nil {
			kv.Value = *value
		}
		all = append(all, kv)
	}
	seen := make(map[string]int, len(n.items))
	for _, item := range n.items {
		key, value, _ := strings.Cut(item.text, "=")
		if key == "" {
			r.fault(item, "write KEY=value", "%s has no key", quote(item.text))
			continue
		}
		if at, again := seen[key]; again {
			all[at].Value = value
			continue
		}
		seen[key] = len(all)
		all = append(all, definition.KeyValue{Key: key, Value: value})
	}
	return all
}

// ulimitNames are the resources of setrlimit(2) in docker's spelling.
var ulimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
	"rtprio", "rttime", "sigpending", "stack",
}

var ulimitNumber = shape{kinds: integer, format: &format{name: "ulimit", pattern: integerPattern, bounds: &bounds{low: -1, high: 1 << 62, whole: true, cure: "write a number, or -1 for no limit"}}}

var ulimitsShape = shape{kinds: mapping, name: &ulimitNameFormat, open: &shape{kinds: integer | mapping, format: ulimitNumber.format, keys: []field{
	{name: "hard", shape: &ulimitNumber, example: "65536", required: true, doc: "The limit up to which the payload may raise it."},
	{name: "soft", shape: &ulimitNumber, example: "1024", required: true, doc: "The limit at start."},
}}}

var ulimitNameFormat = format{
	name:    "ulimit",
	pattern: `^(as|core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)$`,
	check: func(s string) (string, string) {
		if slices.Contains(ulimitNames, s) {
			return "", ""
		}
		cure := "write one of " + strings.Join(ulimitNames, ", ")
		if near := nearest(strings.TrimPrefix(strings.ToLower(s), "rlimit_"), ulimitNames); near != "" {
			cure = "did you mean " + near + "?"
		}
		return quote(s) + " is no limit of setrlimit(2)", cure
	},
}

// leastUlimits are those below which nothing can run.
var leastUlimits = map[string]struct {
	number int64
	cure   string
}{
	"as":     {1 << 20, "write bytes: ulimit(1) of shells counts KiB"},
	"nofile": {3, "write at least 3, for the standard streams"},
	"stack":  {64 << 10, "write bytes: ulimit(1) of shells counts KiB"},
}

func decodeUlimits(r *reader, s *definition.Service, n *node) {
	for i := range n.pairs {
		p := &n.pairs[i]
		u := definition.Ulimit{Name: p.key}
		if p.value.kind == mapping {
			u.Soft, u.Hard = p.value.get("soft").int(), p.value.get("hard").int()
		} else {
			u.Soft = p.value.int()
			u.Hard = u.Soft
		}
		if u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1) {
			r.fault(p.value, "raise hard, or lower soft", "the soft limit %s is above the hard limit %s", limitText(u.Soft), limitText(u.Hard))
			continue
		}
		if least := leastUlimits[u.Name]; u.Soft >= 0 && u.Soft < least.number {
			r.warn(p.value, least.cure, "a limit of %d is too small for any process", u.Soft)
		}
		s.Ulimits = append(s.Ulimits, u)
	}
}

func limitText(limit int64) string {
	if limit == -1 {
		return "-1 (none)"
	}
	return fmt.Sprint(limit)
}
