// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// outside is another machine on a wire with this one, as a network namespace:
// what it sends to here is what comes from outside.
const outside, here, wireSetup = "bench-client", "198.18.0.1", `set -e
ip netns add bench-client
ip link add bench0 type veth peer name bench0 netns bench-client
ip addr add 198.18.0.1/24 dev bench0
ip link set bench0 up
ip -n bench-client addr add 198.18.0.2/24 dev bench0
ip -n bench-client link set bench0 up`

// published are the peers with a port that is reached from outside. The plain
// service listens on it itself: what it takes is TCP's own.
func published() []struct {
	peer        *peer
	port, serve int
} {
	return []struct {
		peer        *peer
		port, serve int
	}{
		{&peer{name: "plain", file: unitDir + "plain@.service", needs: payload, unit: service("Type=exec", "ExecStart="+payload+" @COMMAND@")}, 18079, 18079},
		{definition("unitc-bridge", false, "network_mode: bridge\nports: ['18080:80']\n"), 18080, 80},
		{quadlet("quadlet-bridge", false, "PublishPort=18081:80\n"), 18081, 80},
	}
}

// networks: throughput, the time of a round trip and of a connection through a
// published port, by a client on another machine.
func (b *bench) networks() error {
	if out, err := exec.Command("sh", "-c", wireSetup).CombinedOutput(); err != nil {
		return fmt.Errorf("making a wire: %w: %s", err, out)
	}
	defer exec.Command("ip", "netns", "del", outside).Run()
	defer b.command("stamp /out/%p-%i")
	var peers []*peer
	ports := map[string]int{}
	for _, p := range published() {
		if _, err := os.Stat(p.peer.needs); err != nil || !b.wantPeer.MatchString(p.peer.name) {
			continue
		}
		if err := p.peer.write(strings.ReplaceAll(fmt.Sprintf("serve /out/%%p-%%i '%d'", p.serve), "%p", p.peer.name)); err != nil {
			return err
		}
		peers = append(peers, p.peer)
		ports[p.peer.name] = p.port
	}
	if err := systemctl("daemon-reload"); err != nil {
		return err
	}
	for _, p := range peers {
		if _, err := b.start(p, "1"); err != nil {
			return err
		}
		defer systemctl("stop", p.service("1"))
		if err := fromOutside(func() error { return answers(ports[p.name]) }); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	mib, trips := 512, 2000
	if b.quick {
		mib, trips = 128, 500
	}
	s := samples{}
	err := rounds(b.n(10, 2), peers, func(p *peer, count bool) error {
		settle()
		var wall, used, trip, call time.Duration
		err := fromOutside(func() (err error) {
			cpu := busy()
			if wall, err = pour(ports[p.name], mib); err != nil {
				return err
			}
			used = busy() - cpu
			if trip, err = roundTrip(ports[p.name], trips); err != nil {
				return err
			}
			call, err = connection(ports[p.name], trips/10)
			return err
		})
		if err != nil {
			return err
		}
		if count {
			s.add("net_mib_per_s", p.name, float64(mib)/wall.Seconds())
			s.add("net_cpu_ms_per_gib", p.name, ms(used)*1024/float64(mib))
			s.add("net_roundtrip_us", p.name, 1000*ms(trip))
			s.add("net_connection_us", p.name, 1000*ms(call))
		}
		return nil
	})
	s.print(peers)
	return err
}

// fromOutside runs do on a thread that is in the other machine's network.
func fromOutside(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this function
		f, err := os.Open("/run/netns/" + outside)
		if err == nil {
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
				err = do()
			}
		}
		done <- err
	}()
	return <-done
}

func dial(port int) (net.Conn, error) {
	return net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", here, port), 5*time.Second)
}

// answers waits until a peer that has just been started listens.
func answers(port int) error {
	for deadline := now() + 20*time.Second; ; time.Sleep(10 * time.Millisecond) {
		_, err := connection(port, 1)
		if err == nil || now() > deadline {
			return err
		}
	}
}

// pour sends so many MiB and waits until all have arrived.
func pour(port, mib int) (time.Duration, error) {
	c, err := dial(port)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	block := make([]byte, 1<<20)
	t := now()
	for range mib {
		if _, err := c.Write(block); err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		return 0, err
	}
	return now() - t, nil
}

// roundTrip is the median time of one byte there and back.
func roundTrip(port, n int) (time.Duration, error) {
	c, err := dial(port)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write([]byte("e")); err != nil {
		return 0, err
	}
	b := []byte("x")
	times := make([]time.Duration, n)
	for i := range times {
		t := now()
		if _, err := c.Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(c, b); err != nil {
			return 0, err
		}
		times[i] = now() - t
	}
	slices.Sort(times)
	return times[n/2], nil
}

// connection is the median time from a connection's begin to its first byte.
func connection(port, n int) (time.Duration, error) {
	times := make([]time.Duration, n)
	for i := range times {
		t := now()
		c, err := dial(port)
		if err != nil {
			return 0, err
		}
		b := []byte("ex")
		if _, err = c.Write(b); err == nil {
			_, err = io.ReadFull(c, b[:1])
		}
		times[i] = now() - t
		c.Close()
		if err != nil {
			return 0, err
		}
	}
	slices.Sort(times)
	return times[n/2], nil
}

// ports: a start and a stop with 1 to 1,000 published ports.
func (b *bench) ports() error {
	counts := []int{1, 10, 100, 1000}
	if b.quick {
		counts = []int{1, 100}
	}
	s := samples{}
	var all []*peer
	for _, n := range counts {
		// Beside the range that the kernel gives to clients.
		ports := "20000:20000"
		if n > 1 {
			ports = fmt.Sprintf("20000-%d:20000-%[1]d", 20000+n-1)
		}
		peers := slices.DeleteFunc([]*peer{
			definition("unitc-ports", false, "network_mode: bridge\nports: ['"+ports+"']\n"),
			quadlet("quadlet-ports", false, "PublishPort="+ports+"\n"),
		}, func(p *peer) bool {
			_, err := os.Stat(p.needs)
			return err != nil || !b.wantPeer.MatchString(p.name)
		})
		for _, p := range peers {
			if err := p.write("stamp /out/" + p.name + "-%i"); err != nil {
				return err
			}
		}
		if err := systemctl("daemon-reload"); err != nil {
			return err
		}
		err := rounds(b.n(7, 2), peers, func(p *peer, count bool) error {
			got, stopped, cpu, err := b.startAndStop(p)
			if err != nil {
				return err
			}
			if count {
				s.add(fmt.Sprintf("ports_%d_start_ms", n), p.name, ms(got.first))
				s.add(fmt.Sprintf("ports_%d_start_cpu_ms", n), p.name, ms(got.cpu))
				s.add(fmt.Sprintf("ports_%d_stop_ms", n), p.name, ms(stopped))
				s.add(fmt.Sprintf("ports_%d_stop_cpu_ms", n), p.name, ms(cpu))
			}
			return nil
		})
		if err != nil {
			return err
		}
		all = peers
	}
	s.print(all)
	return nil
}
