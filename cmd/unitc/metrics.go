// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/live"
	"github.com/unitc/unitc/internal/cli/openmetrics"
	"github.com/unitc/unitc/internal/cli/units"
	"github.com/unitc/unitc/internal/definition"
)

func (a *app) metrics() *cobra.Command {
	serve := false
	cmd := &cobra.Command{
		Use:   "metrics [--http] [NAME…]",
		Short: "print figures of containers for Prometheus and its like",
		Long: `Print states and figures of containers as OpenMetrics text, for Prometheus and all
that reads its format. unitc-metrics.socket, which nothing enables by itself, has a
process of this answer at http://127.0.0.1:9886/metrics, and none runs between two
questions; node_exporter's textfile collector takes the text as well.`,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("metrics: nothing runs in --root %s", a.root)
			}
			if err := a.host.Permitted(); err != nil {
				return err // who is not told all would be told that nothing runs
			}
			if serve {
				return a.serveMetrics(cmd, args)
			}
			return a.writeMetrics(cmd, args, a.stdout)
		},
	}
	cmd.Flags().BoolVar(&serve, "http", false, "answer the HTTP request on standard input, a socket, as unitc-metrics@.service does")
	return cmd
}

// containerMetrics are what is told of containers; each sample has the name.
type containerMetrics struct {
	build, info, state, healthy, started, exitStatus                                                                         openmetrics.Family
	cpu, memory, memoryPeak, memoryLimit, swap, pids, pidsLimit, ioRead, ioWritten, netReceived, netSent, oomKills, pressure openmetrics.Family
}

func newContainerMetrics() *containerMetrics {
	gauge := func(name, unit, help string) openmetrics.Family {
		return openmetrics.Family{Name: "unitc_container_" + name, Unit: unit, Kind: openmetrics.Gauge, Help: help}
	}
	counter := func(name, unit, help string) openmetrics.Family {
		return openmetrics.Family{Name: "unitc_container_" + name, Unit: unit, Kind: openmetrics.Counter, Help: help}
	}
	return &containerMetrics{
		build:       openmetrics.Family{Name: "unitc_build_info", Kind: openmetrics.Gauge, Help: "The version of unitc."},
		info:        gauge("info", "", "What a container is; always 1."),
		state:       gauge("state", "", "1 for the state that a container is in, 0 for the others."),
		healthy:     gauge("healthy", "", "1 if a container is healthy by its checks, 0 if it is not; nothing without checks, and before the first result."),
		started:     gauge("start_time_seconds", "seconds", "When the payload was started, since 1970."),
		exitStatus:  gauge("exit_status", "", "What a failed container has exited with."),
		cpu:         counter("cpu_seconds", "seconds", "Processor time since the start."),
		memory:      gauge("memory_bytes", "bytes", "Memory that is in use, its part of the page cache included."),
		memoryPeak:  gauge("memory_peak_bytes", "bytes", "The most memory since the start."),
		memoryLimit: gauge("memory_limit_bytes", "bytes", "The limit of memory, nothing without one."),
		swap:        gauge("swap_bytes", "bytes", "Memory that is swapped out."),
		pids:        gauge("processes", "", "Processes and threads."),
		pidsLimit:   gauge("processes_limit", "", "The limit of processes and threads, nothing without one."),
		ioRead:      counter("disk_read_bytes", "bytes", "Read from block devices."),
		ioWritten:   counter("disk_written_bytes", "bytes", "Written to block devices."),
		netReceived: counter("network_received_bytes", "bytes", "Received by all interfaces but loopback."),
		netSent:     counter("network_sent_bytes", "bytes", "Sent by all interfaces but loopback."),
		oomKills:    counter("oom_kills", "", "Processes that the kernel has killed for memory."),
		pressure:    gauge("pressure_ratio", "ratio", "The share of the last ten seconds in which some process waited for a resource."),
	}
}

func (m *containerMetrics) families() []*openmetrics.Family {
	return []*openmetrics.Family{&m.build, &m.info, &m.state, &m.healthy, &m.started, &m.exitStatus,
		&m.cpu, &m.memory, &m.memoryPeak, &m.memoryLimit, &m.swap, &m.pids, &m.pidsLimit, &m.ioRead, &m.ioWritten, &m.netReceived, &m.netSent, &m.oomKills, &m.pressure}
}

// writeMetrics looks once, at all containers or at those that are named.
func (a *app) writeMetrics(cmd *cobra.Command, words []string, w io.Writer) error {
	list, err := a.listUnits(cmd, units.Question{})
	if err == nil {
		list, err = selectUnits(list, words)
	}
	if err != nil {
		return err
	}
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	survey := live.Survey{Host: a.host}
	defer survey.Close()
	payloads := a.host.Payloads(names, units.ScopeOf)
	m := newContainerMetrics()
	m.build.Add(1, openmetrics.Label{Name: "version", Value: buildinfo.Version})
	for _, u := range list {
		if !strings.HasSuffix(u.Unit, ".service") || strings.HasPrefix(u.Name, definition.NetworkUnit) {
			continue
		}
		m.unit(u)
		if cgroup, ok := payloads[u.Name]; ok {
			m.usage(u.Name, survey.Usage(cgroup))
		}
	}
	return openmetrics.Write(w, m.families())
}

// unit adds what systemd says.
func (m *containerMetrics) unit(u units.Unit) {
	name := openmetrics.Label{Name: "name", Value: u.Name}
	m.info.Add(1, name, openmetrics.Label{Name: "unit", Value: u.Unit}, openmetrics.Label{Name: "image", Value: u.Image}, openmetrics.Label{Name: "definition", Value: u.Definition})
	for _, state := range units.States {
		m.state.Add(truth(u.State == state), name, openmetrics.Label{Name: "state", Value: state})
	}
	if health := healthOf(u); health == "healthy" || health == "unhealthy" {
		m.healthy.Add(truth(health == "healthy"), name)
	}
	switch u.State {
	case "running", "paused":
		if !u.Since.IsZero() {
			m.started.Add(float64(u.Since.UnixMilli())/1000, name)
		}
	case "failed":
		m.exitStatus.Add(float64(u.ExitStatus), name)
	}
}

// usage adds what the kernel has counted.
func (m *containerMetrics) usage(container string, u live.Usage) {
	name := openmetrics.Label{Name: "name", Value: container}
	for _, n := range []struct {
		of   *openmetrics.Family
		from *uint64
	}{
		{&m.memory, u.Memory}, {&m.memoryPeak, u.MemoryPeak}, {&m.memoryLimit, u.MemoryLimit}, {&m.swap, u.Swap}, {&m.pids, u.Pids}, {&m.pidsLimit, u.PidsLimit},
		{&m.ioRead, u.IORead}, {&m.ioWritten, u.IOWrite}, {&m.netReceived, u.NetRead}, {&m.netSent, u.NetWrite}, {&m.oomKills, u.OOMKills},
	} {
		if n.from != nil {
			n.of.Add(float64(*n.from), name)
		}
	}
	if u.CPU != nil {
		m.cpu.Add(float64(*u.CPU)/1e6, name)
	}
	for _, p := range []struct {
		resource string
		percent  *float64
	}{{"cpu", u.CPUPressure}, {"memory", u.MemoryPressure}, {"io", u.IOPressure}} {
		if p.percent != nil {
			m.pressure.Add(*p.percent/100, name, openmetrics.Label{Name: "resource", Value: p.resource})
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
