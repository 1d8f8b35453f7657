// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// On i386 the socket and System V IPC calls can also be made through one call
// each, socketcall(2) and ipc(2), whose first argument says which is meant;
// glibc does so to this day. A rule for socket without arguments therefore
// also covers socketcall with 1, as in libseccomp.
//
// The arguments of such a call lie in memory, where no filter sees them.
// libseccomp lets a rule with arguments cover the multiplexed call whatever
// they are; that was the way round Docker's ban of AF_ALG. Here such a rule
// covers all of the call if it is stricter than the default action, and none
// of it otherwise.

// muxUses gives the uses of the multiplexers' numbers. It adds an entry for
// each, those of rules without arguments first because they decide alone.
func (p *profile) muxUses(b abi) []uint64 {
	var uses []uint64
	named := p.entries
	for _, withArgs := range [...]bool{false, true} {
		for i := range named {
			e := named[i]
			if e.ret == p.ret || withArgs != (len(e.rules) > 0) || withArgs && !stricter(e.ret, p.ret) {
				continue
			}
			for _, row := range e.names {
				mux, call := muxCall(row.name)
				if mux == "" {
					continue
				}
				nr := findSyscall(mux).nr[b.column]
				uses = append(uses, uint64(nr)<<32|uint64(len(p.entries)))
				p.entries = append(p.entries, entry{ret: e.ret, rules: [][]specs.LinuxSeccompArg{
					// Above its 16 bits ipc(2) takes a version and drops it.
					{{Index: 0, Value: 0xffff, ValueTwo: call, Op: specs.OpMaskedEqual}},
				}})
			}
		}
	}
	return uses
}

// stricter compares two return values as the kernel ranks those of several
// filters: signed, without the data (kernel/seccomp.c, ACTION_ONLY).
func stricter(a, b uint32) bool {
	return int32(a&unix.SECCOMP_RET_ACTION_FULL) < int32(b&unix.SECCOMP_RET_ACTION_FULL)
}

// muxCall gives the multiplexer of a call on i386 and the call's number there
// (include/uapi/linux/net.h, SYS_SOCKET; include/uapi/linux/ipc.h, SEMOP).
func muxCall(name string) (mux string, call uint64) {
	const sockets, ipc = "socketcall", "ipc"
	switch name {
	case "socket":
		return sockets, 1
	case "bind":
		return sockets, 2
	case "connect":
		return sockets, 3
	case "listen":
		return sockets, 4
	case "accept":
		return sockets, 5
	case "getsockname":
		return sockets, 6
	case "getpeername":
		return sockets, 7
	case "socketpair":
		return sockets, 8
	case "send":
		return sockets, 9
	case "recv":
		return sockets, 10
	case "sendto":
		return sockets, 11
	case "recvfrom":
		return sockets, 12
	case "shutdown":
		return sockets, 13
	case "setsockopt":
		return sockets, 14
	case "getsockopt":
		return sockets, 15
	case "sendmsg":
		return sockets, 16
	case "recvmsg":
		return sockets, 17
	case "accept4":
		return sockets, 18
	case "recvmmsg":
		return sockets, 19
	case "sendmmsg":
		return sockets, 20
	case "semop":
		return ipc, 1
	case "semget":
		return ipc, 2
	case "semctl":
		return ipc, 3
	case "semtimedop":
		return ipc, 4
	case "msgsnd":
		return ipc, 11
	case "msgrcv":
		return ipc, 12
	case "msgget":
		return ipc, 13
	case "msgctl":
		return ipc, 14
	case "shmat":
		return ipc, 21
	case "shmdt":
		return ipc, 22
	case "shmget":
		return ipc, 23
	case "shmctl":
		return ipc, 24
	}
	return "", 0
}
