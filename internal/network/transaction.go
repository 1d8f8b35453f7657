// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// transaction collects changes of the rules, which flush makes as one. The
// library has the kernel acknowledge and repeat each message and reads that, two
// system calls a message: more than half of what the table costs. A
// transaction has one outcome, and is sent here; what the library calls a dial
// for tests is its only way to send otherwise.
func transaction() *nftables.Conn { return &nftables.Conn{TestDial: send} }

// send gives the library the answers that it waits for, the first of them with
// the outcome.
func send(messages []netlink.Message) ([]netlink.Message, error) {
	var batch []byte
	var answers []netlink.Message
	for _, m := range messages {
		if m.Header.Flags&netlink.Acknowledge != 0 {
			answers = append(answers, netlink.Message{
				Header: netlink.Header{Type: netlink.Error, Sequence: m.Header.Sequence, PID: m.Header.PID},
				Data:   make([]byte, 4),
			})
		}
		m.Header.Flags &^= netlink.Acknowledge | netlink.Echo
		m.Header.Length = uint32(unix.SizeofNlMsghdr + len(m.Data))
		b, err := m.MarshalBinary()
		if err != nil {
			return nil, err
		}
		batch = append(batch, b...)
	}
	if len(answers) == 0 {
		return nil, nil // the library asks for answers, which it has had
	}
	errno, err := exchange(batch)
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint32(answers[0].Data, uint32(-int32(errno)))
	return answers, nil
}

// sendBuffer is what a socket takes by default, less what the kernel adds.
const sendBuffer = 128 << 10

// exchange sends a batch. The kernel has worked it off when sendto(2) returns
// (nfnetlink_rcv_batch), and says nothing of what went well.
func exchange(batch []byte) (unix.Errno, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if len(batch) > sendBuffer {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(batch)); err != nil {
			return 0, fmt.Errorf("SO_SNDBUFFORCE of a netlink socket: %w", err)
		}
	}
	for {
		err := unix.Sendto(fd, batch, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return 0, fmt.Errorf("sending %d bytes of rules: %w", len(batch), err)
		}
	}
	return firstError(fd)
}

// firstError reads the kernel's complaints; others follow from the first one.
func firstError(fd int) (unix.Errno, error) {
	answer := make([]byte, unix.Getpagesize())
	for {
		n, _, err := unix.Recvfrom(fd, answer, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("reading the answer of nf_tables: %w", err)
		}
		if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
			continue
		}
		if errno := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
			return unix.Errno(-errno), nil
		}
	}
}
