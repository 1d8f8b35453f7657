// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/definition"
)

// networkFlags binds the options of networks, under docker's names.
func (o *Options) networkFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.networks, "network", nil, "`MODE`: none, host, or a network, of which there may be several")
	f.StringArrayVar(&o.aliases, "network-alias", nil, "be known as `NAME` too on its networks")
	f.StringVar(&o.ip, "ip", "", "have the IPv4 `ADDRESS` on the first network")
	f.StringVar(&o.ip6, "ip6", "", "have the IPv6 `ADDRESS` on the first network")
	f.StringVar(&o.mac, "mac-address", "", "have the MAC `ADDRESS` on the first network")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "net", "net-alias": // docker's older names
			name = "network" + name[len("net"):]
		}
		return pflag.NormalizedName(name)
	})
}

// networkModes are words that are no network's name.
var networkModes = []string{"none", "host", "bridge", "pasta"}

func isMode(network string) bool {
	return slices.Contains(networkModes, network) || strings.Contains(network, ":")
}

// connection says the same in keys of a definition.
func (o *Options) connection(d map[string]any) error {
	names := o.networks
	if i := slices.IndexFunc(names, isMode); i >= 0 {
		switch {
		case len(names) > 1:
			return fmt.Errorf("--network %s: goes with no other network", names[i])
		case names[0] != "bridge" && o.asksPlace():
			return fmt.Errorf("--network %s: --ip, --ip6, --mac-address and --network-alias are about a network of unitc's", names[0])
		case !o.asksPlace():
			d["network_mode"] = names[0]
			return nil
		}
		names = nil
	}
	if len(names) == 0 {
		if !o.asksPlace() {
			return nil
		}
		if o.File != nil {
			return errors.New("--ip, --ip6, --mac-address and --network-alias over a definition want --network, to say where")
		}
		names = []string{definition.LoneNetwork}
	}
	networks := map[string]any{}
	for i, name := range names {
		place := map[string]any{}
		if len(o.aliases) > 0 {
			place["aliases"] = o.aliases
		}
		for key, value := range map[string]string{"ipv4_address": o.ip, "ipv6_address": o.ip6, "mac_address": o.mac} {
			if i == 0 && value != "" {
				place[key] = value
			}
		}
		place["priority"] = len(names) - i // a mapping has no order
		networks[name] = place
	}
	d["networks"] = networks
	return nil
}

// asksPlace tells whether an option is about a place on a network.
func (o *Options) asksPlace() bool { return o.ip+o.ip6+o.mac != "" || len(o.aliases) > 0 }
