// SPDX-License-Identifier: Apache-2.0

package usernet

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/network/lease"
	"github.com/unitc/unitc/internal/realm"
)

// Keeper has what is kept.
type Keeper struct {
	// Names are the sockets by which containers ask for names.
	Names []*os.File
	// NewDoor says that systemd is to forget the door that it has.
	NewDoor bool

	room Room
	door *os.File
}

// Names of descriptors that systemd keeps.
const (
	// UserName is the user namespace, which Enter joins before this process begins.
	UserName  = "user"
	netName   = "network"
	DoorName  = "door"
	namesName = "names"
)

// Keep makes the room, or takes what systemd has kept of it: passed are the descriptors
// by their names.
func Keep(passed map[string][]*os.File) (*Keeper, error) {
	k := &Keeper{}
	if len(passed[UserName]) > 0 {
		k.room.User = passed[UserName][0]
	} else {
		var err error
		if k.room.User, err = os.Open("/proc/self/ns/user"); err != nil {
			return nil, err
		}
	}
	if len(passed[netName]) == 1 && len(passed[namesName]) > 0 {
		k.room.Net, k.Names = passed[netName][0], passed[namesName]
	} else if err := k.make(); err != nil {
		return nil, err
	}
	if len(passed[DoorName]) == 1 && isSocket(doorPath()) {
		k.door = passed[DoorName][0]
		return k, nil
	}
	k.NewDoor = true
	return k, k.openDoor()
}

func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == fs.ModeSocket
}

// make makes the network namespace, and what is in it from the beginning. One thread
// of this process is in it for that long: all others stay where the host's name
// servers can be asked.
func (k *Keeper) make() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with this goroutine
		done <- k.makeHere()
	}()
	return <-done
}

func (k *Keeper) makeHere() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	for _, s := range sysctls {
		if err := os.WriteFile("/proc/sys/net/"+s.path, []byte(s.value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	for _, address := range []netip.Addr{lease.Resolver, lease.Resolver6} {
		for _, kind := range []int{unix.SOCK_DGRAM, unix.SOCK_STREAM} {
			f, err := listen(address, kind)
			if errors.Is(err, unix.EAFNOSUPPORT) {
				continue // a kernel without IPv6
			}
			if err != nil {
				return fmt.Errorf("listening at %s: %w", address, err)
			}
			k.Names = append(k.Names, f)
		}
	}
	var err error
	k.room.Net, err = os.Open("/proc/thread-self/ns/net")
	return err
}

// sysctls of the room. A new namespace has those that the host has by now.
var sysctls = []struct{ path, value string }{
	// Networks do not see each other.
	{"ipv4/ip_forward", "0"},
	{"ipv6/conf/all/forwarding", "0"},
	// Who asks is known by its address.
	{"ipv4/conf/all/rp_filter", "1"},
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	return nil
}

// namesBuffer holds some seconds of questions while the keeper is started again.
const namesBuffer = 8 << 20

// listen opens a socket of an address that each bridge will have.
func listen(address netip.Addr, kind int) (*os.File, error) {
	var at unix.Sockaddr = &unix.SockaddrInet6{Port: 53, Addr: address.As16()}
	domain, level, free := unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_FREEBIND
	if address.Is4() {
		at = &unix.SockaddrInet4{Port: 53, Addr: address.As4()}
		domain, level, free = unix.AF_INET, unix.SOL_IP, unix.IP_FREEBIND
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), address.String())
	err = errors.Join(unix.SetsockoptInt(fd, level, free, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, namesBuffer) // as much as the host allows
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, namesBuffer) // as unitc-resolver.socket has it
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (k *Keeper) openDoor() error {
	if err := os.MkdirAll(realm.Run, 0o700); err != nil {
		return err
	}
	if err := os.Remove(doorPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	k.door = os.NewFile(uintptr(fd), doorPath())
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: doorPath()}); err != nil {
		return fmt.Errorf("binding %s: %w", doorPath(), err)
	}
	if err := os.Chmod(doorPath(), 0o600); err != nil {
		return err
	}
	return os.NewSyscallError("listen", unix.Listen(fd, 128))
}

// Stored are the descriptors that systemd is to keep, by their names.
func (k *Keeper) Stored() map[string][]*os.File {
	return map[string][]*os.File{UserName: {k.room.User}, netName: {k.room.Net}, DoorName: {k.door}, namesName: k.Names}
}

// Serve lets in whoever comes: none but the user can.
func (k *Keeper) Serve() {
	rights := unix.UnixRights(int(k.room.User.Fd()), int(k.room.Net.Fd()))
	for {
		fd, _, err := unix.Accept4(int(k.door.Fd()), unix.SOCK_CLOEXEC)
		if err != nil {
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ECONNABORTED) {
				// No descriptors left, say: they come back.
				ts := unix.NsecToTimespec(10e6)
				_ = unix.Nanosleep(&ts, nil)
			}
			continue
		}
		_ = unix.Sendmsg(fd, []byte{0}, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		unix.Close(fd)
	}
}

// Leave takes the door away, at the end.
func (k *Keeper) Leave() { _ = os.Remove(doorPath()) }

// Passed are the descriptors of sd_listen_fds(3), by their names (FDNAME=).
func Passed() map[string][]*os.File {
	count, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || count < 0 || count > 1<<10 {
		return nil
	}
	passed := map[string][]*os.File{}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range min(count, len(names)) {
		unix.CloseOnExec(firstPassed + i)
		passed[names[i]] = append(passed[names[i]], os.NewFile(uintptr(firstPassed+i), names[i]))
	}
	return passed
}

const firstPassed = 3

// GiveUp takes from all threads what the room took to make: what is left to do is
// done for strangers.
func GiveUp() error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); errno != 0 {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", errno)
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&noCaps)), 0); errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

// They never move: no stack has them.
var (
	capHeader = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	noCaps    [2]unix.CapUserData
)
