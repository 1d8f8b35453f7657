// SPDX-License-Identifier: Apache-2.0

//go:build lab

package vm

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wire is a machine that the host is connected with: 192.0.2.2 and 192.0.2.3.
func wire(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", "wire").Run() // else it goes some time after its other end
		run(t, "ip", "netns", "del", "client")
	})
	for _, line := range []string{
		"ip netns add client", "ip link add wire type veth peer name wire netns client", "ip addr add 192.0.2.1/24 dev wire", "ip link set wire up",
		"ip -n client addr add 192.0.2.2/24 dev wire", "ip -n client addr add 192.0.2.3/24 dev wire", "ip -n client link set wire up",
	} {
		f := strings.Fields(line)
		run(t, f[0], f[1:]...)
	}
}

// within runs do on a thread in another network.
func within(t *testing.T, path string, do func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function
		f, err := os.Open(path)
		if err == nil {
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
				err = do()
			}
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func sctp() (int, error) {
	return unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
}

func listenSCTP(port int) (fd int, err error) {
	if fd, err = sctp(); err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err == nil {
		err = unix.Listen(fd, 1)
	}
	return fd, err
}

// The build machine's kernel may have no SCTP; Debian's has.
//
//lab:once
func TestPublishedSCTP(t *testing.T) {
	run(t, "modprobe", "sctp")
	wire(t)
	list := place(t, definition{"sctp", "scope", sleeper + "ports: ['8080:80/sctp']"}, definition{"sctp-taken", "scope", sleeper + "ports: ['8081:80/sctp']"})
	c, taken := list[0], list[1]
	c.start(t)
	var server int
	within(t, "/proc/"+c.show("MainPID")+"/ns/net", func() (err error) { server, err = listenSCTP(80); return err })
	defer unix.Close(server)
	within(t, "/run/netns/client", func() error {
		fd, err := sctp()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrInet4{Port: 8080, Addr: [4]byte{192, 0, 2, 1}})
	})
	fd, from, err := unix.Accept(server)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if a, ok := from.(*unix.SockaddrInet4); !ok || a.Addr != [4]byte{192, 0, 2, 2} {
		t.Errorf("the client is seen as %+v", from)
	}
	// A port that is taken is refused, with its holder's name.
	holder, err := listenSCTP(8081)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(holder)
	t.Cleanup(func() { _ = exec.Command("systemctl", "reset-failed", taken.name).Run() })
	if err := exec.Command("systemctl", "start", taken.name).Run(); err == nil {
		t.Error("a second one has the port too")
	}
	if said := taken.show("StatusText"); !strings.Contains(said, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("it says %q", said)
	}
}

// IPAddressDeny=, IPAddressAllow= and IPAccounting= hold for the payload: they
// are BPF programs at its cgroup, which the fast lane has none of.
func TestEgressFilters(t *testing.T) {
	wire(t)
	for _, address := range []string{"192.0.2.2:80", "192.0.2.3:80"} {
		var l net.Listener
		within(t, "/run/netns/client", func() (err error) { l, err = net.Listen("tcp", address); return err })
		defer l.Close()
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = c.Write([]byte("hello\n"))
				c.Close()
			}
		}()
	}
	for _, placement := range placements {
		dropIn := "/etc/unitc/egress-" + placement + ".yaml.d"
		write(t, dropIn+"/egress.yaml", "systemd: {scope: {IPAddressDeny: any, IPAddressAllow: 192.0.2.2, IPAccounting: yes}}\n")
		defer os.RemoveAll(dropIn)
	}
	everywhere(t, []definition{{name: "egress", text: sleeper + "init: true"}}, func(t *testing.T, list []*container) {
		c := list[0]
		c.start(t)
		ask := func(address string) string {
			out, _ := exec.Command("unitc", "exec", c.name, "busybox", "nc", "-w", "10", address, "80").CombinedOutput()
			return strings.TrimSpace(string(out))
		}
		got := ""
		for range 10 {
			if got = ask("192.0.2.2"); got == "hello" {
				break
			}
		}
		if got != "hello" {
			t.Errorf("what is allowed answers %q\n%s", got, run(t, "sh", "-c", "systemctl status --no-pager -n 5 "+c.name+"; ip netns exec client ss -ltn; ip route; systemctl show -p IPAddressAllow -p IPAddressDeny -p IPEgressPackets -p IPIngressPackets "+c.payload+"; true"))
		}
		if got = ask("192.0.2.3"); strings.Contains(got, "hello") {
			t.Errorf("what is denied answers %q", got)
		}
		for _, property := range []string{"IPIngressBytes", "IPEgressPackets"} {
			text := run(t, "systemctl", "show", "--value", "-p", property, c.payload)
			if n, err := strconv.ParseUint(text, 10, 64); err != nil || n == 0 {
				t.Errorf("%s of %s is %q", property, c.payload, text)
			}
		}
	})
}

// Addresses and ports are the same after a boot, of each container its own.
func TestBootAddressesStay(t *testing.T) {
	const kept = "/var/lib/unitc-lab/addresses"
	invocation := regexp.MustCompile(`"invocation":"[0-9a-f]{32}",`) // each boot's is another
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprint("stay-", i))
	}
	records := func() string {
		var list []string
		for _, name := range names {
			b, err := os.ReadFile("/run/unitc/.networks/unitc0/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, invocation.ReplaceAllString(string(b), ""))
		}
		return strings.Join(list, "")
	}
	phases(t, func(t *testing.T) {
		for _, name := range names {
			write(t, "/etc/unitc/"+name+".yaml", sleeper+"restart: always\nports: ['127.0.0.1::80']\n")
		}
		run(t, "systemctl", "daemon-reload")
		run(t, "systemctl", append([]string{"start"}, names...)...)
		if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, kept, records())
	}, func(t *testing.T) {
		defer os.Remove(kept)
		defer forget(t, names...)
		for _, name := range names {
			await(t, name+" runs", func() bool { return show(t, name, "ActiveState") == "active" })
		}
		before, err := os.ReadFile(kept)
		if err != nil {
			t.Fatal(err)
		}
		if now := records(); now != string(before) {
			t.Errorf("before the boot they had\n%s\nand now\n%s", before, now)
		}
		entries, err := os.ReadDir("/run/unitc/.networks/unitc0/.taken")
		if err != nil {
			t.Fatal(err)
		}
		var holders []string
		for _, e := range entries {
			holder, _ := os.Readlink("/run/unitc/.networks/unitc0/.taken/" + e.Name())
			holders = append(holders, holder)
		}
		for _, name := range names {
			if n := len(slices.DeleteFunc(slices.Clone(holders), func(h string) bool { return h != name })); n != 1 {
				t.Errorf("%s has %d addresses", name, n)
			}
		}
	})
}
