// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"strings"
	"time"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// check is a probe of a container.
type check struct {
	*member
	at       arg
	question *node // of healthcheck: test
	ask      pair  // of systemd: probe
	// As Kubernetes has them where they are left out.
	delay, period, timeout int64
	failures               int64
}

var probeRows = []row[*check]{
	fieldDoes("exec", "`healthcheck: test`", func(c *check, v kube.Value) {
		known(c, v, "command")
		c.question = &node{kind: list, flow: true, at: c.at.at, from: c.at.name, items: []*node{scalarOf(c.at, "CMD")}}
		for _, item := range v.Get("command").Items() {
			c.question.items = append(c.question.items, scalarOf(argOf(c, item), item.Text()))
		}
	}),
	seconds("failureThreshold", "`healthcheck: retries`", func(c *check) *int64 { return &c.failures }),
	fieldLost[*check]("grpc", "a question in gRPC", "write healthcheck: test: with a program of the image that asks it, as grpc_health_probe"),
	fieldDoes("httpGet", "`systemd: probe: http`", (*check).httpGet),
	seconds("initialDelaySeconds", "`healthcheck: start_period`: checks begin at once, and failures do not count in it", func(c *check) *int64 { return &c.delay }),
	seconds("periodSeconds", "`healthcheck: interval`", func(c *check) *int64 { return &c.period }),
	fieldDoes("successThreshold", "nothing: one success is enough", func(c *check, v kube.Value) {
		if n, _ := v.Int(); n > 1 {
			c.d.lost(argOf(c, v), "several successes in a row", "have the check look at more")
		}
	}),
	fieldDoes("tcpSocket", "`systemd: probe: tcp`", func(c *check, v kube.Value) {
		known(c, v, "host port")
		text, ok := c.portNumber(v.Get("port"))
		if host := v.Get("host").Text(); host != "" {
			text = host + ":" + text
		}
		if ok {
			c.ask = pair{"tcp", scalarOf(c.at, text)}
		}
	}),
	fieldLost[*check]("terminationGracePeriodSeconds", "another time to stop after a failed check", "write stop_grace_period:, which is for every stop"),
	seconds("timeoutSeconds", "`healthcheck: timeout`", func(c *check) *int64 { return &c.timeout }),
}

func seconds(name, becomes string, of func(c *check) *int64) row[*check] {
	return row[*check]{name: name, becomes: becomes, do: func(c *check, v kube.Value) {
		if n, ok := v.Int(); ok && n >= 0 && n < 1<<31 {
			*of(c) = n
			return
		}
		c.d.lost(argOf(c, v), "not a number", "")
	}}
}

func (c *check) portNumber(v kube.Value) (string, bool) {
	text := v.Text()
	if number := c.ports[text]; number != "" && text != "" {
		return number, true
	}
	if _, ok := v.Int(); !ok {
		c.d.lost(argOf(c, v), "the container has no port "+text, "write its number")
		return "", false
	}
	return text, true
}

func (c *check) httpGet(v kube.Value) {
	known(c, v, "host httpHeaders path port scheme")
	scheme := strings.ToLower(cmp.Or(v.Get("scheme").Text(), "http"))
	host := v.Get("host").Text()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port, ok := c.portNumber(v.Get("port"))
	if headers := v.Get("httpHeaders"); len(headers.Items()) > 0 {
		c.d.lost(argOf(c, headers), "headers of the question", "write healthcheck: test: with a program of the image that sends them, as curl -H")
	}
	if ok {
		c.ask = pair{"http", scalarOf(c.at, scheme+"://"+host+":"+port+"/"+strings.TrimPrefix(v.Get("path").Text(), "/"))}
	}
}

// readCheck reads a probe, nil if there is none that asks something.
func (m *member) readCheck(name string) *check {
	v := m.v.Get(name)
	if v.IsNull() {
		return nil
	}
	c := &check{member: m, at: argOf(m, v), period: 10, timeout: 1, failures: 3}
	walk(c, probeRows, v)
	if c.question == nil && c.ask.value == nil {
		return nil
	}
	return c
}

func (c *check) same(other *check) bool {
	if c == nil || other == nil {
		return false
	}
	asks := func(c *check) string {
		if c.question != nil {
			return c.question.inline()
		}
		return c.ask.key + " " + c.ask.value.text
	}
	return asks(c) == asks(other)
}

// probes: a unit has one check. It says whether the container is ready at its start, and
// whether it is well later on; a liveness probe is that, or else what there is.
func (m *member) probes() {
	live, ready, start := m.readCheck("livenessProbe"), m.readCheck("readinessProbe"), m.readCheck("startupProbe")
	one := cmp.Or(live, ready, start)
	if one == nil {
		return
	}
	const one1 = "a container has one check, and that is its "
	switch {
	case one == ready:
		m.d.changed(ready.at, "a container that was ready and is so no longer is started again, if it has a restart policy", "write a larger retries:, or a check of what it needs itself")
	case ready != nil && !ready.same(live):
		m.d.lost(ready.at, one1+"livenessProbe, which says too when it is ready", "have one check ask for both")
	}
	if start != nil && start != one && !start.same(one) {
		m.d.lost(start.at, one1+strings.TrimPrefix(one.at.name[strings.LastIndexByte(one.at.name, '.')+1:], ".")+"; its time counts", "")
	}
	m.d.hasCheck = true
	put := func(key string, n *node) { m.d.pair(health, key, one.at, n) }
	if one.question != nil {
		put("test", one.question)
	} else {
		m.d.root.child("systemd", mapping).child("probe", mapping).put(one.ask.key, one.ask.value)
	}
	span := func(n int64) *node { return scalarOf(one.at, spell(time.Duration(n)*time.Second)) }
	put("interval", span(max(one.period, 1)))
	put("timeout", span(max(one.timeout, 1)))
	put("retries", bareOf(one.at, itoa(int(max(one.failures, 1)))))
	delay := one.delay
	if start != nil {
		delay = max(delay, start.delay+start.failures*start.period)
		put("start_interval", span(max(start.period, 1)))
	}
	if delay > 0 {
		put("start_period", span(delay))
	}
}
