// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"bufio"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idler is a container that holds its connections, on both families, and is stopped
// when it was idle for a second at a look.
func idler(t *testing.T, name, port string) (unit, socket string) {
	t.Helper()
	script := "/root/" + name + ".pl"
	place(t, script, strings.NewReplacer("PF_INET", "PF_INET6", "pack_sockaddr_in(80, INADDR_ANY)", "pack_sockaddr_in6(80, Socket::IN6ADDR_ANY)").Replace(patient))
	unit, socket = name+".service", "unitc-port@"+name+":80.socket"
	defineFor(t, name, `rootfs: host
command: [perl, /app.pl]
volumes: ['`+script+`:/app.pl:ro']
ports: [{target: 80, published: `+port+`, x-activation: true}]
networks: [`+name+`]
x-idle-timeout: 1s
`, socket, "unitc-port@"+name+":80.service", unit)
	place(t, definitions+name+".network.yaml", "enable_ipv6: true\n")
	reload(t)
	must(t, "systemctl", "start", socket)
	return unit, socket
}

func greeted(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
		t.Fatalf("%s says %q: %v", address, line, err)
	}
	return c
}

// Connections over IPv6 count too, also those that have ended since the last look.
//
//lab:once
func TestIdleTimeoutOverIPv6(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			unit, _ := idler(t, "idle-six", "18422")
			forgetful(t)
			const address = "[2001:db8::1]:18422"
			greeted(t, address).Close() // it is started
			await(t, "the proxy has ended", func() bool { return property(t, "unitc-port@idle-six:80.service", "ActiveState") == "inactive" })
			time.Sleep(2 * time.Second) // so that the proxy's own is forgotten
			remember(t, "60")
			greeted(t, address).Close()
			must(t, "systemctl", "start", "unitc-idle.service")
			time.Sleep(500 * time.Millisecond)
			if state := property(t, unit, "ActiveState"); state != "active" {
				t.Errorf("just after a connection it is %s", state)
			}
		})
	})
}

// A container that no connection could start again stays.
//
//lab:once
func TestIdleTimeoutWithoutASocket(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			unit, socket := idler(t, "idle-no", "18423")
			must(t, "systemctl", "start", unit)
			must(t, "systemctl", "stop", socket)
			for range 3 {
				time.Sleep(700 * time.Millisecond)
				must(t, "systemctl", "start", "unitc-idle.service")
			}
			if state := property(t, unit, "ActiveState"); state != "active" {
				t.Errorf("without its socket it is %s", state)
			}
			must(t, "systemctl", "stop", unit)
		})
	})
}

// A connection that comes when it was found idle already is not lost.
//
//lab:once
func TestIdleTimeoutAndAConnectionJustThen(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			client(t)
			unit, _ := idler(t, "idle-just", "18424")
			forgetful(t)
			const address = "192.0.2.1:18424"
			greeted(t, address).Close() // it is started, and the rule leads past the socket
			await(t, "the proxy has ended", func() bool { return property(t, "unitc-port@idle-just:80.service", "ActiveState") == "inactive" })
			time.Sleep(2 * time.Second)
			dir, err := os.Open("/run/unitc/.networks")
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			must(t, "systemctl", "start", "--no-block", "unitc-idle.service")
			await(t, "it is about to be stopped", func() bool {
				note, _ := os.ReadFile("/run/unitc/idle-just/idle")
				return strings.Contains(string(note), "true") || property(t, unit, "ActiveState") == "deactivating"
			})
			c := greeted(t, address)
			if err := unix.Flock(int(dir.Fd()), unix.LOCK_UN); err != nil {
				t.Fatal(err)
			}
			await(t, "the look is over", func() bool { return property(t, "unitc-idle.service", "ActiveState") == "inactive" })
			c.SetReadDeadline(time.Now().Add(3 * time.Second))
			if _, err := c.Read(make([]byte, 1)); !os.IsTimeout(err) {
				t.Errorf("the connection ends: %v", err)
			}
			if state := property(t, unit, "ActiveState"); state != "active" {
				t.Errorf("it is %s", state)
			}
			c.Close()
			await(t, "nobody uses it", func() bool {
				must(t, "systemctl", "start", "unitc-idle.service")
				return property(t, unit, "ActiveState") == "inactive"
			})
		})
	})
}

// What a definition no longer says does not stop its container, and the timer whom
// nobody wants any more ends without a fault.
//
//lab:once
func TestIdleTimeoutThatIsTakenAway(t *testing.T) {
	sameNetworks(t, func() {
		t.Run("run", func(t *testing.T) {
			unit, _ := idler(t, "idle-away", "18425")
			must(t, "systemctl", "start", unit)
			path := definitions + "idle-away.yaml"
			writeFile(t, path, strings.Replace(file(t, path), "x-idle-timeout: 1s\n", "", 1))
			reload(t)
			time.Sleep(1500 * time.Millisecond)
			must(t, "systemctl", "start", "unitc-idle.service")
			time.Sleep(500 * time.Millisecond)
			if state := property(t, unit, "ActiveState"); state != "active" {
				t.Errorf("it is %s", state)
			}
			if state := property(t, "unitc-idle.timer", "ActiveState"); state == "failed" {
				t.Errorf("the timer is %s", state)
			}
		})
	})
}
