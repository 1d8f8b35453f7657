// SPDX-License-Identifier: Apache-2.0

//go:build lab

package systemd

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// within runs do, which opens sockets, in the network of a path.
func within(t *testing.T, path string, do func() error) {
	t.Helper()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	other, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	err = do()
	// A thread that cannot go back stays locked, and ends with its goroutine.
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		t.Fatal(back)
	}
	runtime.UnlockOSThread()
	if err != nil {
		t.Fatal(err)
	}
}

func networkOf(t *testing.T, unit string) string {
	t.Helper()
	return "/proc/" + property(t, unit, "MainPID") + "/ns/net"
}

// zone is what a name server of the tests answers: addresses by name, or the
// name of an address.
type zone map[string][]string

// nameserver answers on an address in the network of a path, over UDP and TCP;
// what does not fit into 512 bytes is told over TCP alone.
func nameserver(t *testing.T, path, address string, z zone) {
	t.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	within(t, path, func() (err error) {
		if udp, err = net.ListenPacket("udp", address); err == nil {
			tcp, err = net.Listen("tcp", address)
		}
		return err
	})
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() {
		b := make([]byte, 65535)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			answer := z.answer(b[:n])
			if len(answer) > 512 {
				answer = zone{strings.Repeat("x", 60): nil}.answer(b[:n])
				answer[2] |= 2 // TC
				answer[3] &^= 15
			}
			_, _ = udp.WriteTo(answer, from)
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for {
					message, err := readMessage(c)
					if err != nil {
						return
					}
					answer := z.answer(message)
					_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}()
		}
	}()
}

func readMessage(r io.Reader) ([]byte, error) {
	var size uint16
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	message := make([]byte, size)
	_, err := io.ReadFull(r, message)
	return message, err
}

func (z zone) answer(message []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(message) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	list, known := z[strings.TrimSuffix(q.Name.String(), ".")]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, text := range list {
		head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
		ip := net.ParseIP(text)
		switch {
		case ip == nil && q.Type == dnsmessage.TypePTR:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(text)}})
		case ip.To4() != nil && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte(ip.To4())}})
		case ip != nil && ip.To4() == nil && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// asking is a client's socket in a container's network, connected to the
// resolver, with room for all answers.
func asking(t *testing.T, unit, server string) *net.UDPConn {
	t.Helper()
	var c net.Conn
	within(t, networkOf(t, unit), func() (err error) {
		c, err = net.Dial("udp", net.JoinHostPort(server, "53"))
		return err
	})
	t.Cleanup(func() { c.Close() })
	udp := c.(*net.UDPConn)
	raw, err := udp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}); err != nil {
		t.Fatal(err)
	}
	return udp
}

func packQuestion(t *testing.T, id uint16, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName(name + "."), Type: kind, Class: dnsmessage.ClassINET}}}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hostServers gives the machine name servers for the time of a test.
func hostServers(t *testing.T, text string) {
	t.Helper()
	old := file(t, "/etc/resolv.conf")
	if err := os.WriteFile("/etc/resolv.conf", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile("/etc/resolv.conf", []byte(old), 0o644); err != nil {
			t.Error(err)
		}
	})
}

func many(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i+1))
	}
	return list
}
