// SPDX-License-Identifier: Apache-2.0

package planner

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/realm"
)

// Relaxation is a key of a definition that opens something that is closed by
// default.
type Relaxation struct {
	Key   string // as it is written, for a document
	Opens string // what a payload, or whoever takes it over, can do then
	// find gives the paths of the keys in a definition that are this one.
	find func(*definition.Service) []string
}

// Finding is a relaxation that a definition uses.
type Finding struct {
	Path  string // of the key: volumes[0]
	Opens string
}

// Relaxed lists what a definition opens, in the order of the table.
func Relaxed(s *definition.Service) []Finding {
	var found []Finding
	for _, r := range Relaxations {
		for _, p := range r.find(s) {
			found = append(found, Finding{Path: p, Opens: r.Opens})
		}
	}
	return found
}

// Relaxations is what `unitc check` says and docs/SECURITY-MODEL.md prints; a
// test compares the two.
var Relaxations = []Relaxation{
	{"privileged: true", "all capabilities, all devices, no user namespace, no masked paths, no seccomp filter, no no_new_privs: the payload can take the host. It is a packaging format, not a boundary",
		key("privileged", func(s *definition.Service) bool { return s.Privileged })},
	{"post_start: or pre_stop: privileged: true", "this one command runs with all capabilities over the container's own namespaces, without the seccomp filter and no_new_privs; with `userns_mode: host` it can take the host",
		func(s *definition.Service) []string {
			privileged := func(key string, hooks []definition.Hook) []string {
				return indexed(key, len(hooks), func(i int) bool { return hooks[i].Privileged })
			}
			return append(privileged("post_start", s.PostStart), privileged("pre_stop", s.PreStop)...)
		}},
	{"userns_mode: host", "root inside is root outside, held by capabilities, seccomp and mounts alone; files that it reaches are root's. The size of a volume does not bind it: whoever owns a file may take it out of the project",
		key("userns_mode", func(s *definition.Service) bool { return s.UsernsMode == "host" && realm.Own() == nil })},

	{"cap_add: [ALL]", "every capability over the container's own namespaces, and with `userns_mode: host` over the host: take it for root",
		added("ALL")},
	{"cap_add: [SYS_ADMIN]", "mounts, namespaces and much else that the kernel has no other name for; with `userns_mode: host` take it for root of the host",
		added("CAP_SYS_ADMIN")},
	{"cap_add: [SYS_MODULE]", "loading kernel modules; with `userns_mode: host` it is the kernel itself",
		added("CAP_SYS_MODULE")},
	{"cap_add: [SYS_RAWIO]", "ports and memory of devices; with `userns_mode: host` it is the host's memory",
		added("CAP_SYS_RAWIO")},
	{"cap_add: [DAC_READ_SEARCH]", "reading every file whatever its mode, also by handle; with `userns_mode: host` every file of the host's file systems that a volume is on",
		added("CAP_DAC_READ_SEARCH")},
	{"cap_add: [SYS_PTRACE]", "reading and changing the memory of every process in the container; with `pid: host` and `userns_mode: host` of every process of the host",
		added("CAP_SYS_PTRACE")},
	{"cap_add: [BPF, PERFMON]", "programs in the kernel and its counters; with `userns_mode: host` its memory can be read",
		added("CAP_BPF", "CAP_PERFMON")},
	{"cap_add: [NET_ADMIN]", "interfaces, routes and packet filters of the container's network; with `network_mode: host` and `userns_mode: host` those of the host. It reaches kernel code that has had many holes",
		added("CAP_NET_ADMIN")},
	{"cap_add: [NET_RAW]", "forging packets on every network that the container is in",
		added("CAP_NET_RAW")},
	{"cap_add: [MKNOD]", "making device nodes with `userns_mode: host`; opening one that `devices:` does not list is still refused",
		added("CAP_MKNOD")},
	{"cap_add: [SYS_CHROOT]", "changing its root directory inside the container",
		added("CAP_SYS_CHROOT")},
	{"cap_add: [SYS_BOOT, SYS_TIME, SYSLOG]", "with `userns_mode: host` restarting the host, setting its clock, reading its kernel log",
		added("CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_SYSLOG")},
	{"cap_add: [MAC_ADMIN, MAC_OVERRIDE]", "with `userns_mode: host` changing and passing over the host's mandatory access control",
		added("CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE")},
	{"cap_add: any other", "what capabilities(7) says of it, over the container's own namespaces, and with `userns_mode: host` over the host",
		otherCapabilities},

	{"security_opt: [no-new-privileges=false]", "setuid programs and file capabilities of the image work",
		option("no-new-privileges", "false")},
	{"security_opt: [seccomp=unconfined]", "every system call of the kernel can be tried",
		option("seccomp", "unconfined")},
	{"security_opt: [seccomp=FILE]", "that file alone decides about system calls; unitc's own list is not applied",
		func(s *definition.Service) []string {
			if SeccompFile(s) == "" {
				return nil
			}
			return optionPaths(s, func(name, value string) bool {
				return name == "seccomp" && value != "unconfined" && value != "builtin"
			})
		}},
	{"security_opt: [apparmor=unconfined]", "the profile `unitc-default` is not set: mounts, tracing and writes below /proc and /sys are left to capabilities, namespaces and the seccomp filter. A profile that the host attaches by itself stays",
		option("apparmor", "unconfined")},
	{"security_opt: [apparmor=PROFILE]", "that profile takes the place of `unitc-default`: what it allows AppArmor lets pass",
		func(s *definition.Service) []string {
			if v, ok := securityOption(s, "apparmor"); !ok || v == "unconfined" || v == AppArmorProfile {
				return nil
			}
			return optionPaths(s, func(name, value string) bool {
				return name == "apparmor" && value != "unconfined" && value != AppArmorProfile
			})
		}},
	{"security_opt: [label=disable]", "no SELinux label is set: on a host whose policy is one for containers, that policy does not hold the payload, nor keep it from others",
		option("label", "disable")},
	{"security_opt: [label=type:, user:, role:, level: or filetype:]", "on a host with SELinux that takes the place of what the policy has for containers: what it allows SELinux lets pass",
		func(s *definition.Service) []string {
			return optionPaths(s, func(name, value string) bool { return name == "label" && value != "disable" })
		}},
	{"security_opt: [landlock=unconfined]", "with `network_mode: host` or `ns:PATH` the abstract sockets of the host's programs can be connected to: daemons, desktops and agents listen at such, and some ask nobody who he is",
		option("landlock", "unconfined")},
	{"security_opt: [systempaths=unconfined]", "nothing below /proc and /sys is masked or read-only: figures about the host, and with `userns_mode: host` its sysctls",
		option("systempaths", "unconfined")},
	{"security_opt: [unmask=PATHS]", "these paths below /proc and /sys can be read, and written where the kernel allows it",
		option("unmask", "")},
	{"security_opt: [writable-cgroups=true]", "making cgroups below its own, at most 2,048 and 12 deep, and limiting its processes there, within the container's limits: kernel code that no other container reaches. Their names are the payload's, and systemd-cgls(1) and systemctl status of the scope print them as they are, control characters included",
		option(definition.WritableCgroups, "true")},

	{"network_mode: host", "the host's interfaces and its services on the loopback, and its abstract sockets where the kernel's Landlock does not keep the payload from them (Linux before 6.12); every port can be bound that the kernel lets these ids bind",
		key("network_mode", func(s *definition.Service) bool { return s.NetworkMode == "host" })},
	{"network_mode: service:NAME, container:NAME", "the other container's network: its addresses and ports, what listens on its loopback, its abstract sockets",
		key("network_mode", func(s *definition.Service) bool { return definition.JoinsContainer(s.NetworkMode) })},
	{"network_mode: ns:PATH", "the network behind that file, with its addresses and ports, and its abstract sockets as with `host`: behind /proc/1/ns/net it is the host's",
		key("network_mode", func(s *definition.Service) bool { return strings.HasPrefix(s.NetworkMode, "ns:") })},
	{"x-net-devices:", "the interface itself: as long as the container runs the host has it no more, and none of unitc's rules stands between the payload and what is behind it",
		key("x-net-devices", func(s *definition.Service) bool { return len(s.NetDevices) > 0 })},
	{"pid: host", "every process of the host is seen, with its command line, and signalled where ids allow",
		key("pid", func(s *definition.Service) bool { return s.PID == "host" })},
	{"pid: service:NAME, container:NAME", "the other container's processes, with the same user ids: each can end, and with CAP_SYS_PTRACE change, the other's",
		key("pid", func(s *definition.Service) bool { return definition.JoinsContainer(s.PID) })},
	{"ipc: service:NAME, container:NAME", "the other container's shared memory, semaphores and message queues, and its /dev/shm, with the same user ids",
		key("ipc", func(s *definition.Service) bool { return definition.JoinsContainer(s.IPC) })},
	{"ipc: host", "the shared memory, semaphores and message queues of the host's programs, where ids allow",
		key("ipc", func(s *definition.Service) bool { return s.IPC == "host" })},
	{"uts: host", "the host's name is seen as it changes",
		key("uts", func(s *definition.Service) bool { return s.UTS == "host" })},
	{"cgroup: host", "the host's tree of cgroups is seen, with the names of its units; it is read-only",
		key("cgroup", func(s *definition.Service) bool { return s.Cgroup == "host" })},

	{"devices:", "the driver behind the node; a block device is the file system on it, whatever its permissions say",
		func(s *definition.Service) []string {
			return indexed("devices", len(s.Devices), func(i int) bool { return !memoryDevice(s.Devices[i].Source) })
		}},
	{"devices: /dev/mem, /dev/kmem, /dev/port, /dev/kmsg", "the host's memory, ports or kernel log",
		func(s *definition.Service) []string {
			return indexed("devices", len(s.Devices), func(i int) bool { return memoryDevice(s.Devices[i].Source) })
		}},
	{"devices: or gpus: by the Container Device Interface", "what the vendor's specification below /etc/cdi or /var/run/cdi says: drivers, files of the host, and programs that run as root of the host at each start",
		func(s *definition.Service) []string {
			var paths []string
			for _, d := range s.CDI {
				if !slices.Contains(paths, d.Key) {
					paths = append(paths, d.Key)
				}
			}
			return paths
		}},
	{"device_cgroup_rules:", "opening these device numbers, by whatever node of them is found or made",
		func(s *definition.Service) []string {
			return indexed("device_cgroup_rules", len(s.DeviceCgroupRules), func(int) bool { return true })
		}},
	{"sysctls:", "the kernel's behaviour in the container's own namespaces; a sysctl of the host is refused",
		key("sysctls", func(s *definition.Service) bool { return len(s.Sysctls) > 0 })},

	{"volumes: the host's /", "all files of the host. Read-only it still shows what root may read: keys, hashes, secrets of other containers",
		bound(func(v *definition.Volume) bool { return path.Clean(v.Source) == "/" })},
	{"volumes: /etc, /root, /home, /boot, /usr, /lib, /bin, /sbin or /var, a home, or what systemd, cron, ssh and container engines read and keep below; writable also all else below /etc and among programs", "what the host runs or logs in by: whoever may write there is root at the next start of something. Read-only it shows what is in it",
		bound(func(v *definition.Volume) bool { return hostSystem(path.Clean(v.Source), !v.ReadOnly) })},
	{"volumes: /run, /var/run, /proc, /sys or /dev, or below them what belongs to systemd, unitc, udev and logged-in users", "the sockets of the host's daemons, its kernel interfaces, its devices: some of them are root of the host for whoever can connect or write",
		bound(func(v *definition.Volume) bool { return hostKernel(path.Clean(v.Source)) })},
	{"volumes: a socket of a container engine, of systemd or of D-Bus, or its directory", "asking a root daemon of the host to start whatever one wants: it is root of the host, also when it is mounted read-only",
		bound(func(v *definition.Volume) bool { return rootSocket(path.Clean(v.Source)) })},
	{"volumes: driver_opts: type: other than tmpfs, nfs, cifs and ceph", "what mount(8) mounts there as root of the host: a block device is all files on it, overlay and fuse can lead to any file and start a program of the host's",
		func(s *definition.Service) []string {
			return indexed("volumes", len(s.Volumes), func(i int) bool { return mountsAnything(s.Volumes[i].Declared) })
		}},
	{"env_file:, secrets:, configs: or LoadCredential= with a file of /root, /run, /proc, /sys or /dev, of a home's hidden ones, or of the host's hashes and keys", "the payload gets what root alone can read",
		hostSecrets},
	{"volumes: idmap: false", "ids on that volume are the host's: what the container's root owns there belongs to its private range, and nobody's files are nobody's",
		bound(func(v *definition.Volume) bool { return v.IDMap != nil && !*v.IDMap })},
	{"volumes: propagation: shared or rshared", "mounts that are made inside appear on the host",
		bound(func(v *definition.Volume) bool { return v.Propagation == "shared" || v.Propagation == "rshared" })},
	{"rootfs: / or another directory that is named for volumes", "all files of it, as for a volume",
		key("rootfs", func(s *definition.Service) bool {
			return strings.HasPrefix(s.RootFS, "/") && isHosts(path.Clean(s.RootFS))
		})},
	{"rootfs: host", "the host's `/usr` and a list of harmless files of `/etc` can be read; `passwd` tells its users' names",
		key("rootfs", func(s *definition.Service) bool { return s.RootFS == "host" })},
	{"bundle:", "its config.json says what confines the payload, and none of unitc's defaults is added: user ids, capabilities, seccomp and masked paths are as they stand there",
		key("bundle", func(s *definition.Service) bool { return s.Bundle != "" })},
	{"runtime:", "another runtime carries the plan out: its holes count, and unitc does not read its protections back",
		key("runtime", func(s *definition.Service) bool { return s.Runtime != "" })},
	{"pids_limit: -1, or TasksMax=infinity", "as many processes as the host can hold",
		func(s *definition.Service) []string {
			if s.Resources.PidsLimit != nil && *s.Resources.PidsLimit < 0 {
				return []string{"pids_limit"}
			}
			return directives("scope", s.System.Scope, func(d definition.Directive) bool { return d.Name == "TasksMax" && d.Value == "infinity" })
		}},
	{"oom_score_adj: below 0", "the kernel takes memory from the host's programs first",
		key("oom_score_adj", func(s *definition.Service) bool { return s.OOMScoreAdj != nil && *s.OOMScoreAdj < 0 })},

	{"systemd: service: or socket: Exec…=", "a program of the host's, that systemd runs there as root: nothing of what confines the payload confines it",
		func(s *definition.Service) []string {
			runs := func(d definition.Directive) bool { return strings.HasPrefix(d.Name, "Exec") }
			return append(directives("service", s.System.Service, runs), directives("socket", s.System.Socket, runs)...)
		}},
	{"systemd: service: OpenFile= or Sockets=, socket: ListenSpecial=, ListenNetlink= or ListenUSBFunction=", "the payload gets what systemd has opened on the host as root: a file, a device, or the sockets of another unit",
		func(s *definition.Service) []string {
			opens := func(d definition.Directive) bool {
				return slices.Contains([]string{"OpenFile", "Sockets", "ListenSpecial", "ListenNetlink", "ListenUSBFunction"}, d.Name)
			}
			return append(directives("service", s.System.Service, opens), directives("socket", s.System.Socket, opens)...)
		}},
	{"systemd: scope: DeviceAllow= or DevicePolicy=", "opening devices as it says, beside those of `devices:`, by whatever node of them is found or made",
		func(s *definition.Service) []string {
			return directives("scope", s.System.Scope, func(d definition.Directive) bool { return d.Name == "DeviceAllow" || d.Name == "DevicePolicy" })
		}},
	{"systemd: service: SyslogLevelPrefix=", "journald heeds the priority in front of a line: emergencies it writes to the terminals of all who are logged in, control characters included",
		func(s *definition.Service) []string {
			return directives("service", s.System.Service, func(d definition.Directive) bool {
				return d.Name == "SyslogLevelPrefix" && !slices.Contains([]string{"no", "false", "off", "0", "n", "f"}, d.Value)
			})
		}},
	{"systemd: notify: container", "how long the unit starts, and how long a stop takes whatever `stop_grace_period:` says (EXTEND_TIMEOUT_USEC of sd_notify(3)): a payload that wants to can hold up a shutdown of the host",
		key("systemd.notify", func(s *definition.Service) bool { return s.System.Notify == definition.NotifyContainer })},
	{"systemd: unit: FailureAction= and others that end in Action=", "the host is restarted or switched off when this unit ends so, and when that is the payload chooses",
		func(s *definition.Service) []string {
			return directives("unit", s.System.Unit, func(d definition.Directive) bool { return strings.HasSuffix(d.Name, "Action") && d.Value != "none" })
		}},
	{"systemd: unit: Conflicts= or PropagatesStopTo=", "these units of the host end when this one starts, or ends",
		func(s *definition.Service) []string {
			return directives("unit", s.System.Unit, func(d definition.Directive) bool {
				return (d.Name == "Conflicts" || d.Name == "PropagatesStopTo") && d.Value != "shutdown.target"
			})
		}},
}

// directives finds those of a section of `systemd:`, each name once.
func directives(section string, list []definition.Directive, is func(definition.Directive) bool) []string {
	var paths []string
	for _, d := range list {
		if p := "systemd." + section + "." + d.Name; is(d) && !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	return paths
}

func key(path string, is func(*definition.Service) bool) func(*definition.Service) []string {
	return func(s *definition.Service) []string {
		if is(s) {
			return []string{path}
		}
		return nil
	}
}

func indexed(key string, n int, is func(int) bool) []string {
	var paths []string
	for i := range n {
		if is(i) {
			paths = append(paths, fmt.Sprintf("%s[%d]", key, i))
		}
	}
	return paths
}

// added finds capabilities that the default set does not have.
func added(names ...string) func(*definition.Service) []string {
	return func(s *definition.Service) []string {
		return indexed("cap_add", len(s.CapAdd), func(i int) bool { return slices.Contains(names, s.CapAdd[i]) })
	}
}

// namedCapabilities have a row of their own.
var namedCapabilities = []string{
	"ALL", "CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_SYSLOG", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE",
}

func otherCapabilities(s *definition.Service) []string {
	return indexed("cap_add", len(s.CapAdd), func(i int) bool {
		return !slices.Contains(namedCapabilities, s.CapAdd[i]) && !slices.Contains(defaultCapabilities, s.CapAdd[i])
	})
}

// option finds a security option; the last one of its name counts.
func option(name, value string) func(*definition.Service) []string {
	return func(s *definition.Service) []string {
		if v, ok := securityOption(s, name); !ok || value != "" && v != value {
			return nil
		}
		return optionPaths(s, func(n, v string) bool { return n == name && (value == "" || v == value) })
	}
}

func optionPaths(s *definition.Service, is func(name, value string) bool) []string {
	return indexed("security_opt", len(s.SecurityOpt), func(i int) bool {
		return is(splitOption(s.SecurityOpt[i]))
	})
}

func bound(is func(*definition.Volume) bool) func(*definition.Service) []string {
	return func(s *definition.Service) []string {
		return indexed("volumes", len(s.Volumes), func(i int) bool {
			v := s.Volumes[i]
			if d := v.Declared; d != nil && d.BindSource() != "" {
				v.Type, v.Source = definition.VolumeBind, d.BindSource()
			}
			return v.Type == definition.VolumeBind && is(&v)
		})
	}
}

func memoryDevice(source string) bool {
	return slices.Contains([]string{"/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg"}, source)
}
