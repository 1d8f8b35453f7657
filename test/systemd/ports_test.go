// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// telling answers over TCP and UDP, in the network of a path, with the protocol
// and the port.
func telling(t *testing.T, path string, port int) {
	t.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	within(t, path, func() (err error) {
		if udp, err = net.ListenPacket("udp", fmt.Sprint(":", port)); err == nil {
			tcp, err = net.Listen("tcp", fmt.Sprint(":", port))
		}
		return err
	})
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			_, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo(fmt.Append(nil, "udp", port), from)
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprint(c, "tcp", port)
			c.Close()
		}
	}()
}

// told is what a port says to the client, "" = nothing for a while.
func told(t *testing.T, protocol, address string) string {
	t.Helper()
	var c net.Conn
	within(t, "/run/netns/client", func() error {
		c, _ = net.DialTimeout(protocol, address, time.Second)
		return nil
	})
	if c == nil {
		return ""
	}
	defer c.Close()
	_, _ = c.Write([]byte("?"))
	_ = c.SetDeadline(time.Now().Add(time.Second))
	b := make([]byte, 64)
	n, _ := c.Read(b)
	return string(b[:n])
}

// All ways of writing a port lead where they say, and nowhere else; the rules
// are the same whatever the number of ports.
//
//lab:once
func TestPortsAsWritten(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			must(t, "ip", "addr", "add", "192.0.2.11/24", "dev", "wire") // goes with the wire
			web := scoped.define(t, "ports-web", server+"ports: ['18500:80']").start()
			one := must(t, "nft", "-t", "-s", "list", "table", "inet", "unitc")
			place(t, "/etc/unitc/portsnet.network.yaml", "enable_ipv6: true\n")
			c := scoped.define(t, "ports-all", named+`networks: [portsnet]
ports:
  - "18510-18512:80-82"
  - "18510-18511:80-81/udp"
  - "18520-18525:81"
  - "18520:82"
  - "192.0.2.11:18530:82"
  - {target: 82, published: "18540", host_ip: 192.0.2.1, protocol: udp, name: "x", app_protocol: dns, mode: host}
  - {target: 80, published: "18550-18552"}
  - {target: 81}
  - "[2001:db8::1]:18560:80"
`).start()
			if many := must(t, "nft", "-t", "-s", "list", "table", "inet", "unitc"); many != one {
				t.Errorf("with one port the rules are\n%s\nwith many\n%s", one, many)
			}
			for _, port := range []int{80, 81, 82} {
				telling(t, networkOf(t, c.unit()), port)
			}
			// One of the range that leads to one port.
			chosen, some := map[string]bool{}, ""
			for _, line := range strings.Fields(must(t, "unitc", "port", c.name, "81")) {
				host, port, err := net.SplitHostPort(line)
				if err != nil {
					t.Fatal(err)
				}
				if host == "0.0.0.0" && port != "18511" {
					chosen[port] = true
					if port < "18520" || port > "18525" {
						some = port
					}
				}
			}
			if some == "" || len(chosen) < 2 {
				t.Errorf("to port 81 lead %v\n%s", chosen, must(t, "unitc", "port", c.name))
			}
			if out := must(t, "unitc", "ps", c.name); !strings.Contains(out, some+"→81/tcp") || strings.Contains(out, "-18525") {
				t.Errorf("ps does not have port %s\n%s", some, out)
			}
			for _, w := range []struct{ protocol, address, want string }{
				{"tcp", "192.0.2.1:18510", "tcp80"}, {"tcp", "192.0.2.1:18511", "tcp81"}, {"tcp", "192.0.2.1:18512", "tcp82"},
				{"udp", "192.0.2.1:18510", "udp80"}, {"udp", "192.0.2.1:18511", "udp81"}, {"udp", "192.0.2.1:18512", ""},
				{"tcp", "192.0.2.11:18530", "tcp82"}, {"tcp", "192.0.2.1:18530", ""},
				{"udp", "192.0.2.1:18540", "udp82"}, {"udp", "192.0.2.11:18540", ""}, {"tcp", "192.0.2.1:18540", ""},
				{"tcp", "192.0.2.1:18520", "tcp82"}, {"tcp", "192.0.2.1:" + some, "tcp81"}, {"tcp", "192.0.2.1:18560", ""},
				{"tcp", "[2001:db8::1]:18560", "tcp80"}, {"tcp", "[2001:db8::1]:18511", "tcp81"}, {"udp", "[2001:db8::1]:18511", "udp81"},
			} {
				if w.want == "" {
					if got := told(t, w.protocol, w.address); got != "" {
						t.Errorf("%s/%s says %q", w.address, w.protocol, got)
					}
					continue
				}
				await(t, fmt.Sprintf("%s/%s says %q", w.address, w.protocol, w.want), func() bool { return told(t, w.protocol, w.address) == w.want })
			}
			c.stop()
			web.stop()
		})
	})
}

// Rules change in one piece: while others come and go, no connection to a port
// is lost.
//
//lab:once
func TestPortsWhileOthersComeAndGo(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			web := scoped.define(t, "ports-steady", server+"ports: ['18600:80']").start()
			next := scoped.define(t, "ports-next", endless+"\nstop_grace_period: 0s\nports: ['18601-18620:80-99']")
			asks(t, web.name, "ip", "netns", "exec", "client", "busybox", "nc", "-w", "5", "192.0.2.1", "18600")
			stopped, done := make(chan struct{}), make(chan []string)
			go func() {
				var lost []string
				for {
					select {
					case <-stopped:
						done <- lost
						return
					default:
					}
					out, err := exec.Command("ip", "netns", "exec", "client", "busybox", "nc", "-w", "30", "192.0.2.1", "18600").CombinedOutput()
					if strings.TrimSpace(string(out)) != web.name {
						lost = append(lost, fmt.Sprintf("%q, %v", out, err))
					}
				}
			}()
			for range 4 {
				next.start().stop()
			}
			close(stopped)
			if lost := <-done; len(lost) > 0 {
				t.Errorf("%d connections are lost: %s", len(lost), lost[0])
			}
			web.stop()
		})
	})
}

// `container:NAME` joins a lone container's network, whoever runs either; what
// cannot be joined is said.
//
//lab:once
func TestNetworkOfAnotherContainer(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			main := scoped.define(t, "pod-main", server+"ports: ['18700:81']\nextra_hosts: {printer: 192.0.2.9}").start()
			for name, keys := range map[string]string{"pod-side": "", "pod-crun": "runtime: crun"} {
				text := strings.Replace(server, `"80"`, `"81"`, 1)
				if keys != "" {
					text = strings.Replace(text, "init: true\n", "", 1) // that is unitc's own
				}
				side := scoped.define(t, name, text+"network_mode: container:"+main.name+"\n"+keys).start()
				asks(t, side.name, "busybox", "nc", "-w", "5", "127.0.0.1", "18700")
				if got := inside(t, side.name, "busybox", "nc", "-w", "5", "127.0.0.1", "80"); got != main.name {
					t.Errorf("%s: its neighbour says %q", name, got)
				}
				if got := inside(t, side.name, "getent", "hosts", "printer"); !strings.HasPrefix(got, "192.0.2.9") {
					t.Errorf("%s: its names are not those of the other: %q", name, got)
				}
				if networkIn(t, side.unit()) != networkIn(t, main.unit()) {
					t.Errorf("%s has another network", name)
				}
				side.stop()
				asks(t, main.name, "nsenter", "-t", property(t, main.unit(), "MainPID"), "-n", "busybox", "nc", "-w", "5", "127.0.0.1", "80")
			}
			for mode, want := range map[string]string{"container:nobody-here": "nobody-here", "ns:/run/netns/nowhere": "/run/netns/nowhere"} {
				t.Run(mode, func(t *testing.T) {
					lost := scoped.define(t, "pod-lost", endless+"\nnetwork_mode: "+mode)
					_, status := command(t, "systemctl", "start", lost.unit())
					text := lost.show("StatusText") + must(t, "journalctl", "-q", "-o", "cat", "-u", lost.unit()) + first(command(t, "unitc", "check", lost.name))
					if status == 0 || !strings.Contains(text, want) {
						t.Errorf("it exits with %d and says %q", status, text)
					}
				})
			}
			main.stop()
		})
	})
}

func first(out string, _ int) string { return out }

// networkIn is the identity of a unit's network namespace.
func networkIn(t *testing.T, unit string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(networkOf(t, unit), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}
