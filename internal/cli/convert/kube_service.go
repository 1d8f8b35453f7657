// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// serviceOf is a Service that is read.
type serviceOf struct {
	p *project
	o *object
}

func (s *serviceOf) teller() *def      { return s.p.d }
func (s *serviceOf) owner() *object    { return s.o }
func (s *serviceOf) project() *project { return s.p }

const noBalancer = "connections go to the addresses of its containers themselves"

// serviceFieldRows are the fields of a Service.
var serviceFieldRows = []row[*serviceOf]{
	fieldIdle[*serviceOf]("allocateLoadBalancerNodePorts", noBalancer),
	fieldIdle[*serviceOf]("clusterIP", noBalancer),
	fieldIdle[*serviceOf]("clusterIPs", noBalancer),
	fieldLost[*serviceOf]("externalIPs", "addresses of the host for a port", "write ports: with the address"),
	fieldLost[*serviceOf]("externalName", "a name for another machine", "write the other name where this one is used, or extra_hosts:"),
	fieldIdle[*serviceOf]("externalTrafficPolicy", "clients' addresses are kept"),
	fieldIdle[*serviceOf]("healthCheckNodePort", noBalancer),
	fieldIdle[*serviceOf]("internalTrafficPolicy", oneMachine),
	fieldIdle[*serviceOf]("ipFamilies", noBalancer),
	fieldIdle[*serviceOf]("ipFamilyPolicy", noBalancer),
	fieldIdle[*serviceOf]("loadBalancerClass", noBalancer),
	fieldIdle[*serviceOf]("loadBalancerIP", noBalancer),
	fieldLost[*serviceOf]("loadBalancerSourceRanges", "who may use a port", "write x-nftables: with rules for it"),
	read[*serviceOf]("ports", "`ports` of a *NodePort*, with *nodePort*, or a *LoadBalancer*, with *port*; another *port* than *targetPort* is lost for neighbours"),
	fieldIdle[*serviceOf]("publishNotReadyAddresses", "a container is found as soon as it runs"),
	read[*serviceOf]("selector", "the pods that it is for"),
	fieldDoes("sessionAffinity", "nothing: *None*; *ClientIP* is lost", func(s *serviceOf, v kube.Value) {
		if v.Text() == "ClientIP" {
			s.p.d.lost(argOf(s, v), "a client stays with one instance", "run a proxy in front that does so")
		}
	}),
	fieldIdle[*serviceOf]("sessionAffinityConfig", noBalancer),
	fieldIdle[*serviceOf]("trafficDistribution", oneMachine),
	read[*serviceOf]("type", "`ports` of *NodePort* and *LoadBalancer*"),
}

func (p *project) addService(o *object) {
	walk(&serviceOf{p, o}, serviceFieldRows, o.value.Get("spec"))
}

// isFor tells whether a Service is for a pod.
func (p *project) isFor(o *object, one *pod) bool {
	selector := o.value.Find("spec", "selector").Fields()
	for _, f := range selector {
		if one.label(f.Key) != f.Value.Text() {
			return false
		}
	}
	return len(selector) > 0 && p.namespace(o) == p.namespace(one.o)
}

// serviceNames are those by which Services have neighbours find a pod.
func (p *project) serviceNames(one *pod) (all []arg) {
	for _, o := range p.objects {
		if o.kind != "Service" || !p.isFor(o, one) {
			continue
		}
		a := o.arg(o.value.Find("metadata", "name"))
		for _, name := range p.forms(o.name, o) {
			all = append(all, a.with(name))
		}
	}
	return all
}

// forms are the name and those of its longer forms that are somewhere in the files.
func (p *project) forms(name string, o *object) []string {
	all := []string{name}
	long := name
	for _, part := range []string{p.namespace(o), "svc", "cluster.local"} {
		if long += "." + part; strings.Contains(p.text, long) {
			all = append(all, long)
		}
	}
	return all
}

// publish opens the ports of Services, and those that the .kube has and no container.
func (p *project) publish() {
	for _, o := range p.objects {
		if o.kind == "Service" {
			p.publishService(o)
		}
	}
	if p.unit == nil {
		return
	}
	for i, a := range p.unit.published {
		if !p.unit.used[i] {
			p.pods[0].holder.add("ports", a, a.text)
		}
	}
}

func (p *project) publishService(o *object) {
	var pods []*pod
	for _, one := range p.pods {
		if p.isFor(o, one) {
			pods = append(pods, one)
		}
	}
	kind := o.value.Find("spec", "type")
	if len(pods) == 0 {
		if kind.Text() != "ExternalName" {
			p.d.lost(o.whole(), "none of the pods here is what "+o.name+" is for", together)
		}
		return
	}
	for _, v := range o.value.Find("spec", "ports").Items() {
		port := v.Get("port")
		target := pods[0].portNumber(cmp.Or(v.Get("targetPort").Text(), port.Text()))
		protocol := strings.ToLower(cmp.Or(v.Get("protocol").Text(), "tcp"))
		if port.Text() != target && o.value.Find("spec", "clusterIP").Text() != "None" {
			p.d.lost(o.arg(port), "neighbours reach "+o.name+" at its own port "+target+" alone, and not at "+port.Text(), "have them ask for "+target+", or have the program listen on "+port.Text())
		}
		published := port.Text()
		switch kind.Text() {
		case "NodePort":
			if published = v.Get("nodePort").Text(); published == "" {
				p.d.lost(o.arg(v), "which port of the host it is", "write ports: with the number")
				continue
			}
		case "LoadBalancer":
		default:
			continue
		}
		switch {
		case pods[0].hostNetwork:
			continue
		case len(pods) > 1 || pods[0].scale > 1:
			p.d.lost(o.arg(v), "only one instance can have a port of the host", "publish a range of ports, or run a proxy in front")
			continue
		}
		text := published + ":" + target
		if protocol != "tcp" {
			text += "/" + protocol
		}
		pods[0].holder.add("ports", o.arg(v), text)
	}
}

// portNumber is that of a port which has a name.
func (p *pod) portNumber(text string) string {
	for _, m := range p.members {
		if number := m.ports[text]; number != "" && text != "" {
			return number
		}
	}
	return text
}
