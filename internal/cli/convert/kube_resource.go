// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math/big"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// resourceRows are the fields of a container's resources.
var resourceRows = []row[*member]{
	fieldLost[*member]("claims", "devices by claims", "write devices: with their names in the Container Device Interface"),
	fieldDoes("limits", "see there", (*member).limits),
	fieldDoes("requests", "see there", (*member).requests),
}

// limitRows are resources by their names; those of others have a slash in them.
var limitRows = []row[*member]{
	fieldDoes("cpu", "`cpus`; of *requests* `cpu_shares`", func(m *member, v kube.Value) {
		if n, ok := m.quantity(v); ok {
			m.d.setBare("cpus", argOf(m, v), kube.Decimal(n))
		}
	}),
	fieldLost[*member]("ephemeral-storage", "room on the disk", "driver_opts: {size: …} limits a volume where the file system has project quotas"),
	fieldDoes("memory", "`mem_limit`; of *requests* `mem_reservation`", func(m *member, v kube.Value) { m.bytes("mem_limit", v) }),
}

func (m *member) quantity(v kube.Value) (*big.Rat, bool) {
	n, ok := kube.Quantity(v.Text())
	if !ok || n.Sign() <= 0 {
		if !ok {
			m.d.lost(argOf(m, v), v.Text()+" is no amount", "write for example 500m or 1Gi")
		}
		return nil, false
	}
	return n, true
}

func (m *member) bytes(key string, v kube.Value) {
	n, ok := m.quantity(v)
	if !ok {
		return
	}
	if bytes, ok := kube.Ceil(n); ok {
		m.d.setBare(key, argOf(m, v), spellBytes(bytes))
	}
}

// spellBytes writes a size as definitions have it: 512m.
func spellBytes(n int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}} {
		if n >= unit.bytes && n%unit.bytes == 0 {
			return itoa(int(n/unit.bytes)) + unit.name
		}
	}
	return itoa(int(n))
}

func (m *member) limits(v kube.Value) {
	for _, f := range v.Fields() {
		if i := rowIndex(limitRows, f.Key); i >= 0 {
			limitRows[i].do(m, f.Value)
			continue
		}
		m.device(f)
	}
}

func (m *member) requests(v kube.Value) {
	for _, f := range v.Fields() {
		switch f.Key {
		case "cpu":
			if n, ok := m.quantity(f.Value); ok {
				shares, _ := kube.Ceil(n.Mul(n, big.NewRat(1024, 1)))
				m.d.setBare("cpu_shares", argOf(m, f.Value), itoa(int(min(max(shares, 2), 262144))))
			}
		case "memory":
			m.bytes("mem_reservation", f.Value)
		case "ephemeral-storage":
			m.pod.p.note(argOf(m, f.Value), oneMachine)
		default:
			if m.v.Find("resources", "limits", f.Key).IsMissing() {
				m.device(f)
			}
		}
	}
}

// gpuDrivers are resources of graphics processors.
var gpuDrivers = map[string]string{"nvidia.com/gpu": "nvidia", "amd.com/gpu": "amd", "gpu.intel.com/i915": "intel", "gpu.intel.com/xe": "intel"}

// device is a resource that is one.
func (m *member) device(f kube.Field) {
	a := argOf(m, f.Value)
	count, ok := kube.Quantity(f.Value.Text())
	switch driver := gpuDrivers[f.Key]; {
	case ok && count.Sign() == 0:
	case driver != "":
		n := &node{kind: mapping, at: a.at, from: a.name, pairs: []pair{{"driver", scalarOf(a, driver)}, {"count", bareOf(a, f.Value.Text())},
			{"capabilities", &node{kind: list, flow: true, items: []*node{scalarOf(a, "gpu")}}}}}
		gpus := m.d.root.child("gpus", list)
		gpus.items = append(gpus.items, n)
	case strings.HasPrefix(f.Key, "podman.io/device="):
		m.d.add("devices", a, strings.TrimPrefix(f.Key, "podman.io/device="))
	case strings.Contains(f.Key, "/") && strings.Contains(f.Key, "="):
		m.d.add("devices", a, f.Key)
	case strings.HasPrefix(f.Key, "hugepages-"):
		m.d.lost(a, "a number of huge pages", "mount hugetlbfs on the host, and write its directory under volumes:")
	default:
		m.d.lost(a, "the resource "+f.Key, "write devices: with its node, or its name in the Container Device Interface")
	}
}

// resourceValue is what a reference to a limit stands for.
func (m *member) resourceValue(v kube.Value) (string, bool) {
	of := m.v
	if name := v.Get("containerName").Text(); name != "" && name != m.name {
		of = kube.Value{}
		for _, key := range []string{"containers", "initContainers"} {
			for _, c := range m.pod.spec.Get(key).Items() {
				if c.Get("name").Text() == name {
					of = c
				}
			}
		}
	}
	kind, name, _ := strings.Cut(v.Get("resource").Text(), ".")
	amount := of.Find("resources", kind, name)
	if amount.IsMissing() && kind == "requests" {
		amount = of.Find("resources", "limits", name)
	}
	n, ok := kube.Quantity(amount.Text())
	divisor, divides := kube.Quantity(v.Get("divisor").Text())
	if !divides || divisor.Sign() <= 0 {
		divisor = big.NewRat(1, 1)
	}
	if !ok {
		m.d.lost(argOf(m, v.Get("resource")), "the container has no such limit, and what the host has is not known here", "write its value under environment:")
		return "", false
	}
	whole, _ := kube.Ceil(n.Quo(n, divisor))
	return itoa(int(whole)), true
}
