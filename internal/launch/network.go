// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/cgroupsd"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/inroot"
	"github.com/unitc/unitc/internal/invocation"
	"github.com/unitc/unitc/internal/journal"
	"github.com/unitc/unitc/internal/network"
	"github.com/unitc/unitc/internal/network/device"
	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/plan"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/regular"
	"github.com/unitc/unitc/internal/resolved"
	"github.com/unitc/unitc/internal/resolved/load"
)

// claimNetwork makes the networks that are missing, reserves addresses and
// ports, and writes the names by which the payload finds itself and others.
func (s *starter) claimNetwork() error {
	if n := s.plan.Network; n != nil {
		request := network.Request{
			Container: strings.TrimSuffix(s.plan.Unit, ".service"), Invocation: invocation.ID(s.plan.Unit),
			Aliases: n.Aliases, Links: n.Links, Ports: n.Ports, DNS: s.service.DNS, Sysctls: n.Sysctls, Before: s.beforeNetwork,
			SocketUnit: socketUnit, Over: isOver,
		}
		for _, a := range n.Attachments {
			d, err := s.readNetwork(a.Network)
			if err != nil {
				return err
			}
			request.Attachments = append(request.Attachments, network.Attachment{Attachment: a, Definition: d})
		}
		switch {
		case n.Pasta:
			request.Attachments = []network.Attachment{{Definition: network.PastaNetwork()}}
		case realm.Own() != nil && slices.ContainsFunc(request.Attachments, func(a network.Attachment) bool { return !a.Definition.Internal }):
			request.Attachments = append(request.Attachments, network.OutPlace())
		}
		if request.LeavesByPasta() {
			if _, err := findPasta(); err != nil {
				return err
			}
		}
		var err error
		s.netWatch.mark("take")
		if s.network, err = s.takeNetwork(request); err != nil {
			return keyed(err)
		}
		s.netWatch.end()
	}
	if s.plan.Names == nil {
		return nil
	}
	if names := s.network.WithoutHost(s.plan.Names.Hosts); len(names) > 0 {
		fmt.Fprintf(journal.Stderr, "<4>extra_hosts: none of the container's networks leads to the host, so it does not know %s; join a bridge that is not internal\n", strings.Join(names, " "))
	}
	return writeNames(s.plan, s.network)
}

// socketUnit names the socket unit that has a port of the host's; "" where
// there is none, or systemd does not say.
func socketUnit(p lease.Port) string {
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	name, _ := cgroupsd.SocketUnit(ctx, p.Protocol, p.Port)
	return name
}

// keyed gives a fault of a network's the place of its key.
func keyed(err error) error {
	var fault *network.Fault
	if errors.As(err, &fault) {
		return &planner.KeyError{Key: fault.Key, What: fault.What, Cure: fault.Cure}
	}
	return err
}

// readNetwork reads the definition of a network, which lies beside the
// service's own. The network of lone containers needs none.
func (s *starter) readNetwork(name string) (*definition.Network, error) {
	r, err := readNetworkBeside(s.path, name)
	if all := resolved.Path(realm.Units(), ""); errors.Is(err, resolved.ErrNoMember) && filepath.Dir(s.path) != filepath.Dir(all) && name != definition.LoneNetwork {
		// The service's is of unitc run, in a place of its own.
		if r, err = readNetworkBeside(all, name); errors.Is(err, fs.ErrNotExist) {
			err = resolved.ErrNoMember
		}
	}
	if errors.Is(err, resolved.ErrNoMember) {
		if name == definition.LoneNetwork {
			return &definition.Network{Key: name, Name: name}, nil
		}
		return nil, &planner.KeyError{Key: "networks", What: "no definition makes the network " + name, Cure: "install the definition that makes it, or write " + realm.Config + "/" + name + ".network.yaml, in which `driver: bridge` is enough, or correct the name"}
	}
	if err != nil {
		return nil, err
	}
	if r.Problems.HasErrors() || r.Network == nil {
		return nil, &brokenDefinition{r.Problems}
	}
	return r.Network, nil
}

func readNetworkBeside(path, name string) (*definition.Resolved, error) {
	r, _, err := load.Definition(resolved.Beside(path, definition.NetworkUnit+name))
	if errors.Is(err, resolved.ErrNoMember) {
		// Of a file of which nothing could be made there is what is wrong with it.
		r, _, err = load.Definition(resolved.Beside(path, name+definition.NetworkFile))
	}
	return r, err
}

// beginNetworks makes the networks that are missing while systemd makes the scope
// and the payload's namespaces are made: it needs neither.
func (s *starter) beginNetworks() {
	if s.network == nil {
		return
	}
	s.making = make(chan error, 1)
	go func() {
		s.netWatch.mark("look-at-networks")
		err := s.network.MakeNetworks()
		s.netWatch.end()
		s.making <- err
	}()
}

// beginConnect connects while systemd makes the scope, whose answers take the
// greater part of a start.
func (s *starter) beginConnect() {
	if s.network == nil || s.launch == nil {
		return // another runtime's container is not there yet
	}
	s.connecting = make(chan error, 1)
	go func() { s.connecting <- s.connect() }()
}

// connectNetwork ends when the payload's namespace is connected.
func (s *starter) connectNetwork() error {
	switch {
	case s.network == nil:
		return nil
	case s.connecting != nil:
		return <-s.connecting
	}
	return s.connect()
}

// connect gives the payload's namespace its interfaces, while its first process
// is at its mounts.
func (s *starter) connect() error {
	if s.making != nil {
		if err := <-s.making; err != nil {
			return keyed(err)
		}
	}
	s.netWatch.mark("open-namespace")
	ns, err := s.networkNamespace()
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := s.network.Connect(ns); err != nil {
		return keyed(err)
	}
	for _, text := range s.network.Outdated() {
		fmt.Fprintf(journal.Stderr, "<4>%s\n", text)
	}
	s.beforeNetwork("look-for-firewalls")
	s.warnOfBarriers()
	s.netWatch.end()
	return nil
}

func (s *starter) beforeNetwork(step string) {
	s.where.network.Store(&step)
	s.netWatch.mark(step)
	reach(step)
}

// warnOfBarriers says which other firewall stands in the container's way, and
// what its administrator can do. It is no reason not to start: who only talks to
// neighbours never notices.
func (s *starter) warnOfBarriers() {
	list, err := s.network.Barriers()
	if err != nil {
		fmt.Fprintf(journal.Stderr, "<4>looking for other firewalls: %v\n", err)
	}
	for _, b := range list {
		fmt.Fprintf(journal.Stderr, "<4>%s; %s\n", b.String(), b.Cure)
	}
}

// deviceTimeout bounds the wait for a device: at boot its driver may still look
// for it, and an earlier start's comes back when the kernel has ended its network
// namespace, a moment after the last process.
const deviceTimeout = 5 * time.Second

func moveDevices(ns *os.File, devices map[string]specs.LinuxNetDevice) error {
	device.Await(devices, deviceTimeout)
	return device.Move(ns, devices) // that says which one is missing
}

// networkNamespace opens the payload's.
func (s *starter) networkNamespace() (*os.File, error) {
	if s.launch != nil {
		return s.launch.NetworkNamespace(s.child)
	}
	return os.Open(fmt.Sprintf("/proc/%d/ns/net", s.payload))
}

// writeNames writes the files that are shown below /etc. What cannot be found
// out is left out: a payload without names runs.
func writeNames(p *plan.Plan, claim *network.Claim) error {
	dir := planner.NamesDir(p.Unit)
	for _, file := range p.Names.Files {
		var data []byte
		switch {
		case p.Names.From != "":
			data = joinedFile(p, file)
		case file == planner.HostsFile:
			data = network.Hosts(p.Names, p.Spec.Hostname, claim, p.Network == nil && !hasNetwork(p))
		case file == planner.ResolvFile:
			data = network.Resolv(p.Names, claim, hasNetwork(p))
		case file == planner.HostnameFile:
			data = []byte(p.Spec.Hostname + "\n")
		}
		// Written in place: a bind mount of an earlier start shows another file.
		tmp := dir + ".new" + file
		if err := os.WriteFile(tmp, data, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(tmp, 0o644); err != nil { // whatever the umask
			return err
		}
		if err := os.Rename(tmp, dir+file); err != nil {
			return err
		}
	}
	return nil
}

// hasNetwork tells whether the payload has a network namespace that is not the
// host's.
func hasNetwork(p *plan.Plan) bool {
	for _, n := range p.Spec.Linux.Namespaces {
		if n.Type == "network" {
			return true
		}
	}
	return false
}

// joinedFile is the file of the container whose network is joined, as that has changed
// it: one that brings up a VPN names its own resolver. Where it has none it is the one
// written for it, or the host's.
func joinedFile(p *plan.Plan, file string) []byte {
	data, err := fileOfJoined(p, file)
	if err != nil {
		data, err = os.ReadFile(planner.NamesDir(p.Names.From) + file)
	}
	if err != nil {
		data, _ = os.ReadFile("/etc/" + file)
	}
	return data
}

// fileOfJoined reads it in that container's root file system, where all may be hostile.
func fileOfJoined(p *plan.Plan, file string) ([]byte, error) {
	i := slices.IndexFunc(p.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace })
	if i < 0 {
		return nil, fs.ErrNotExist
	}
	process, _ := strings.CutSuffix(p.Spec.Linux.Namespaces[i].Path, "/ns/net")
	root, err := unix.Open(process+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := inroot.Open(root, "etc/"+file, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := ownMayRead(process, fd); err != nil {
		return nil, err
	}
	data, _, err := regular.Read("/proc/self/fd/" + strconv.Itoa(fd))
	return data, err
}

// ownMayRead refuses what a container has only linked to: it sees files of others, on a
// volume that keeps the host's owners or in a procfs with the host's processes, which it
// may not read itself and root may. Who joins it is another one, but may be in league.
func ownMayRead(process string, file int) error {
	var st unix.Stat_t
	var on unix.Statfs_t
	if err := errors.Join(unix.Fstat(file, &st), unix.Fstatfs(file, &on)); err != nil {
		return err
	}
	if protection.Off("own-may-read") {
		return nil
	}
	if on.Type == unix.PROC_SUPER_MAGIC {
		return errors.New("a view of the kernel's")
	}
	// In one user namespace the kernel knows what this process may.
	if st.Mode&0o004 != 0 || sameFile(process+"/ns/user", "/proc/self/ns/user") {
		return nil
	}
	ids, err := os.ReadFile(process + "/uid_map")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(ids)) {
		var inside, outside, length int64
		if _, err := fmt.Sscan(line, &inside, &outside, &length); err == nil && int64(st.Uid) >= outside && int64(st.Uid) < outside+length {
			return nil
		}
	}
	return fs.ErrPermission
}

// nameLinks finds the files of names that are dangling links in a root file
// system, as of systems that run systemd-resolved.
func nameLinks(roots []string) map[string]string {
	links := map[string]string{}
	for _, file := range []string{planner.HostsFile, planner.ResolvFile, planner.HostnameFile} {
		for _, root := range roots {
			target, found := etcLink(root, file)
			if target != "" {
				links[file] = target
			}
			if found {
				break
			}
		}
	}
	return links
}

// NetworkUp is ExecStart= of a network's unit.
func NetworkUp(path string) int {
	r, _, err := load.Definition(path)
	if err == nil && (r.Problems.HasErrors() || r.Network == nil) {
		err = &brokenDefinition{r.Problems}
	}
	if err == nil {
		err = network.Up(r.Network)
	}
	return tell(err)
}

// NetworkDown is its ExecStopPost=.
func NetworkDown(name string) int { return tell(network.Down(name, isOver)) }

// NetworkReload puts back what somebody has flushed. It runs whenever nftables.service
// has flushed everything (packaging/nftables.conf).
func NetworkReload() int {
	_, err := network.Reload()
	return tell(err)
}

func tell(err error) int {
	if err == nil {
		return 0
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(journal.Stderr, "<3>%s\n", strings.TrimSuffix(line, "\n"))
	}
	return exitNetwork
}
