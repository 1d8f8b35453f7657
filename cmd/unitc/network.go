// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unitc/unitc/internal/cli/terminal"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

func (a *app) network() *cobra.Command {
	return withVerbs(&cobra.Command{Use: "network VERB", Short: "list, show and remove networks"},
		a.networkList(), a.networkInspect(), a.networkRemove(), a.networkPrune(), a.networkReload())
}

func (a *app) leases() lease.Store { return lease.Store{Root: a.root + lease.Root()} }

// members are those who are in a network. What has ended is not in it, also where
// nobody has swept that up yet.
func (a *app) members(network string) ([]lease.Record, error) {
	records, err := a.leases().Records(network)
	return slices.DeleteFunc(records, func(r lease.Record) bool { return a.root == "" && isOver(r.Container, r.Invocation) }), err
}

func isOver(container, id string) bool { return invocation.IsOver(container+".service", id) }

// networkRow is a network with those who are in it.
type networkRow struct {
	lease.Network
	Containers []lease.Record `json:"containers"`
	// Sysctls are those of the host that networks have changed, with what they were.
	Sysctls map[string]string `json:"sysctls,omitempty"`
}

func (a *app) networkRows() ([]networkRow, error) { return a.networkRowsOf(a.members) }

func (a *app) networkRowsOf(members func(network string) ([]lease.Record, error)) ([]networkRow, error) {
	all, err := a.leases().Networks()
	if err != nil {
		return nil, err
	}
	rows := []networkRow{}
	for _, n := range all {
		records, err := members(n.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		rows = append(rows, networkRow{Network: n, Containers: append([]lease.Record{}, records...)})
	}
	return rows, nil
}

// realNetworks leaves out what is none: of containers with pasta the ports
// alone are known.
func (a *app) realNetworks() ([]networkRow, error) {
	rows, err := a.networkRows()
	return slices.DeleteFunc(rows, func(n networkRow) bool { return n.Driver == lease.Pasta }), err
}

// definedNetworks are those that units make, whether they are there or not.
func (a *app) definedNetworks() []string {
	files, _ := filepath.Glob(filepath.Join(a.root+a.unitDir, definition.NetworkUnit+"*.service"))
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(f), definition.NetworkUnit), ".service"))
	}
	return names
}

func (a *app) networkList() *cobra.Command {
	asJSON, quiet := false, false
	cmd := &cobra.Command{
		Use:   "ls [OPTION…]",
		Short: "list networks",
		Args:  exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			rows, err := a.realNetworks()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(rows)
			}
			t := terminal.Table{Header: []string{"NETWORK", "DRIVER", "INTERFACE", "ADDRESSES", "CONTAINERS"}, Shrink: []int{3}, Drop: []int{1, 4, 2}}
			for _, n := range rows {
				var subnets []string
				for _, s := range n.Subnets {
					subnets = append(subnets, s.Prefix.String())
				}
				t.Add(n.Name, n.Driver, n.Link, strings.Join(subnets, " "), fmt.Sprint(len(n.Containers)))
				if quiet {
					fmt.Fprintln(a.stdout, n.Name)
				}
			}
			for _, name := range a.definedNetworks() {
				if slices.ContainsFunc(rows, func(n networkRow) bool { return n.Name == name }) {
					continue
				}
				t.Add(name, "", "-", "", "0")
				if quiet {
					fmt.Fprintln(a.stdout, name)
				}
			}
			if quiet {
				return nil
			}
			return t.Write(terminal.Of(a.stdout))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, of the networks that are there")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print names only")
	return cmd
}

func (a *app) networkInspect() *cobra.Command {
	return &cobra.Command{
		ValidArgsFunction: a.completer(a.networkNames),
		Use:               "inspect NAME…",
		Short:             "print what is known of networks that are there, as JSON",
		Args:              some("the name of a network"),
		RunE: func(_ *cobra.Command, args []string) error {
			rows, err := a.realNetworks()
			if err != nil {
				return err
			}
			changed := a.leases().Sysctls()
			out := []networkRow{}
			for _, name := range args {
				i := slices.IndexFunc(rows, func(n networkRow) bool { return n.Name == name })
				if i < 0 {
					return a.noNetwork(name)
				}
				rows[i].Sysctls = changed
				out = append(out, rows[i])
			}
			return a.printJSON(out)
		},
	}
}

func (a *app) noNetwork(name string) error {
	if slices.Contains(a.definedNetworks(), name) {
		return fmt.Errorf("network %s: no container is in it; `systemctl start %s%s` makes it", name, definition.NetworkUnit, name)
	}
	return fmt.Errorf("network %s: there is none; `unitc network ls` lists all", name)
}

// rootsNetworks refuses what is to be done to networks by hand for those of a user:
// they go with the last container, and nobody else can change them.
func rootsNetworks(verb string) error {
	if realm.Own() != nil {
		return usagef("network %s: a user's networks go with the last container in them; stop those that `unitc network inspect` lists", verb)
	}
	return nil
}

func (a *app) networkRemove() *cobra.Command {
	return &cobra.Command{
		ValidArgsFunction: a.completer(a.networkNames),
		Use:               "rm NAME…",
		Short:             "remove networks that no container is in",
		Args:              some("the name of a network"),
		RunE: func(_ *cobra.Command, args []string) error {
			if a.root != "" {
				return usagef("network rm: networks are this host's, not of %s", a.root)
			}
			if err := rootsNetworks("rm"); err != nil {
				return err
			}
			var errs []error
			for _, name := range args {
				errs = append(errs, a.removeNetwork(name))
			}
			return errors.Join(errs...)
		},
	}
}

func (a *app) removeNetwork(name string) error {
	n, err := a.leases().Network(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && n.Driver == lease.Pasta {
		return a.noNetwork(name)
	} else if err != nil {
		return err
	}
	records, err := a.members(name)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		var users []string
		for _, r := range records {
			users = append(users, r.Container)
		}
		return fmt.Errorf("network %s: in use by %s; stop them first", name, strings.Join(users, ", "))
	}
	if n.Held {
		// Its unit would say that it is there.
		if err := a.systemctl("stop", "--", definition.NetworkUnit+name+".service"); err != nil {
			return err
		}
	}
	return network.Down(name, isOver)
}

func (a *app) networkPrune() *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "remove what containers have left that are gone, and networks without any",
		Long: `Remove the addresses, ports and interfaces of containers whose clean-up never ran,
and the networks that nobody is in. Those whose units are active stay.`,
		Args: exactly(0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.root != "" {
				return usagef("network prune: networks are this host's, not of %s", a.root)
			}
			if err := rootsNetworks("prune"); err != nil {
				return err
			}
			rows, err := a.networkRowsOf(a.leases().Records)
			if err != nil {
				return err
			}
			bus, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer bus.Close()
			for _, n := range rows {
				for _, r := range n.Containers {
					state, err := bus.GetUnitPropertyContext(context.Background(), r.Container+".service", "ActiveState")
					if err != nil {
						return fmt.Errorf("asking for %s.service: %w", r.Container, err)
					}
					if s, _ := state.Value.Value().(string); s != "inactive" && s != "failed" {
						continue
					}
					if err := network.Release(r.Container); err != nil {
						return err
					}
					fmt.Fprintf(a.stdout, "%s of %s\n", strings.Join(texts(r.Addresses()), " "), r.Container)
				}
			}
			if err := network.Sweep(); err != nil {
				return err
			}
			for _, n := range rows {
				if _, err := a.leases().Network(n.Name); errors.Is(err, os.ErrNotExist) {
					fmt.Fprintln(a.stdout, "network "+n.Name)
				}
			}
			return nil
		},
	}
}

func (a *app) networkReload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "put back what others have flushed of networks",
		Long: `Put back the rules, the bridges and the forwarding of all networks, as after
nft flush ruleset, and print the networks' names. Open connections stay. When
nftables.service starts, stops or is reloaded this happens by itself.`,
		Args: exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if a.root != "" {
				return usagef("network reload: networks are this host's, not of %s", a.root)
			}
			if err := rootsNetworks("reload"); err != nil {
				return err
			}
			names, err := network.Reload()
			for _, name := range names {
				fmt.Fprintln(a.stdout, name)
			}
			return err
		},
	}
}

func texts[T fmt.Stringer](list []T) []string {
	var all []string
	for _, v := range list {
		all = append(all, v.String())
	}
	return all
}

func (a *app) port() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "port [--json] NAME [PORT[/PROTOCOL]]",
		Short: "print the host's ports that lead to a container",
		Long: `Print the ports of a running container and those of the host that lead there, or the
latter alone of one port. Ports that the definition left open are chosen at start.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return exactly(1, "a name")(cmd, args)
		},
		ValidArgsFunction: a.completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			ports, err := a.ports(args)
			switch {
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(ports)
			}
			a.printPorts(ports, len(args) == 2)
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// publishedPort is a port and whose it is.
type publishedPort struct {
	Container string `json:"container"`
	lease.Port
}

// ports are those of a name or of a project's services, or one of them.
func (a *app) ports(args []string) ([]publishedPort, error) {
	names := args[:1]
	if a.root == "" {
		var err error
		if names, err = a.targets(context.Background(), nil, names); err != nil {
			return nil, err
		}
	}
	wanted := ""
	if len(args) == 2 {
		if wanted = args[1]; !strings.Contains(wanted, "/") {
			wanted += "/tcp"
		}
	}
	ports := []publishedPort{}
	for _, name := range names {
		records, err := a.leases().RecordsOf(name)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if a.root == "" && isOver(r.Container, r.Invocation) {
				continue // its ports go with the next sweep
			}
			for _, p := range r.Ports {
				if wanted == "" || wanted == inside(&p) {
					ports = append(ports, publishedPort{name, p})
				}
			}
		}
	}
	switch {
	case len(ports) > 0:
		return ports, nil
	case wanted != "":
		return nil, fmt.Errorf("%s: nothing leads to port %s; unitc port %s lists what does", args[0], wanted, args[0])
	}
	return nil, fmt.Errorf("%s: no port of the host leads there; it has no ports:, or does not run (systemctl start %s)", args[0], strings.Join(names, " "))
}

// inside is a port as the container has it.
func inside(p *lease.Port) string { return fmt.Sprintf("%d/%s", p.Target, p.Protocol) }

func (a *app) printPorts(ports []publishedPort, one bool) {
	several := slices.ContainsFunc(ports, func(p publishedPort) bool { return p.Container != ports[0].Container })
	for i := range ports {
		p := &ports[i]
		host := strings.TrimSuffix(p.String(), "/"+p.Protocol)
		if several {
			fmt.Fprint(a.stdout, p.Container+" ")
		}
		if one {
			fmt.Fprintln(a.stdout, host)
			continue
		}
		fmt.Fprintf(a.stdout, "%s -> %s\n", inside(&p.Port), host)
	}
}
