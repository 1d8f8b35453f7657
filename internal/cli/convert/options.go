// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"encoding/json"
	"path/filepath"
	"strings"
)

// option is one of docker run and podman run, and what becomes of it.
type option struct {
	name  string // without the dashes; further names behind it
	short string
	flag  bool // it takes no value
	do    func(d *def, a arg)
	// becomes is for the manual: keys in backquotes, or a word on why there is none.
	becomes string
}

// value sets a key to the option's value.
func value(name, key string) option {
	return option{name: name, becomes: "`" + key + "`", do: func(d *def, a arg) { d.setText(key, a, a.text) }}
}

func numeric(name, key string) option {
	return option{name: name, becomes: "`" + key + "`", do: func(d *def, a arg) { d.setNumber(key, a) }}
}

// item appends the value to a list.
func item(name, key string) option {
	return option{name: name, becomes: "`" + key + "`", do: func(d *def, a arg) { d.add(key, a, a.text) }}
}

// items appends each of several, with commas between them.
func items(name, key string) option {
	return option{name: name, becomes: "`" + key + "`", do: func(d *def, a arg) {
		for text := range strings.SplitSeq(a.text, ",") {
			d.add(key, a, text)
		}
	}}
}

func truth(name, key string) option {
	return option{name: name, flag: true, becomes: "`" + key + "`", do: func(d *def, a arg) { d.setTrue(key, a) }}
}

// idle is an option that takes no word.
func idle(name, why string) option {
	return option{name: name, becomes: "nothing: " + why, do: func(d *def, a arg) { d.same(a, why) }}
}

func idleFlag(name, why string) option {
	o := idle(name, why)
	o.flag = true
	return o
}

// no is an option of what definitions cannot say.
func no(name, what, cure string) option {
	becomes := "lost: " + what
	if cure != "" {
		becomes += "; " + cure
	}
	return option{name: name, becomes: becomes, do: func(d *def, a arg) { d.lost(a, what, cure) }}
}

// noFlag is lost where it is switched on.
func noFlag(name, what, cure string) option {
	o := no(name, what, cure)
	o.flag = true
	o.do = func(d *def, a arg) {
		if isTrue(a.text) {
			d.lost(a, what, cure)
		}
	}
	return o
}

func (o option) and(short string) option {
	o.short = short
	return o
}

func does(name, becomes string, do func(d *def, a arg)) option {
	return option{name: name, becomes: becomes, do: do}
}

const (
	health   = "healthcheck"
	noAttach = "it concerns the terminal of the command"
	noRT     = "cgroup v2 has no real-time groups"
	noGuess  = "it concerns the engine's own files"
	noAuth   = "credentials and certificates come from auth.json, certs.d and registries.conf"
	noStart  = "unitc has no checks that are for the start alone"
	startUp  = "write start_period:, in which failures do not count"
)

// options are those of docker-run(1) and podman-run(1); those of both have one row.
var options = []option{
	item("add-host", "extra_hosts"),
	does("annotation", "`annotations`", func(d *def, a arg) { d.keyValue("annotations", a) }),
	no("arch", "the processor's type", "write platform: linux/ARCH"),
	idle("attach", noAttach).and("a"),
	idle("authfile", noAuth),
	does("blkio-weight", "`blkio_config: weight`", func(d *def, a arg) { d.pair("blkio_config", "weight", a, bareOf(a, a.text)) }),
	no("blkio-weight-device", "weights of devices", "write blkio_config: weight_device:"),
	items("cap-add", "cap_add"),
	items("cap-drop", "cap_drop"),
	no("cgroup-conf", "files of the cgroup", "write directives of systemd.resource-control(5) under systemd: scope:"),
	no("cgroup-parent", "the parent cgroup", "write systemd: slice:"),
	value("cgroupns", "cgroup"),
	idle("cgroups", ownCgroup),
	no("chrootdirs", "directories of Podman's own files", ""),
	idle("cidfile", noGuess),
	idle("conmon-pidfile", noGuess),
	numeric("cpu-period", "cpu_period"),
	numeric("cpu-quota", "cpu_quota"),
	no("cpu-rt-period", noRT, ""),
	no("cpu-rt-runtime", noRT, ""),
	numeric("cpu-shares", "cpu_shares").and("c"),
	numeric("cpus", "cpus"),
	value("cpuset-cpus", "cpuset"),
	does("cpuset-mems", "`systemd: scope: AllowedMemoryNodes`", func(d *def, a arg) { d.directive("scope", "AllowedMemoryNodes", a) }),
	idle("creds", noAuth),
	no("decryption-key", "encrypted images", ""),
	option{name: "detach", short: "d", flag: true, becomes: "nothing: units are", do: func(*def, arg) {}},
	idle("detach-keys", noAttach),
	item("device", "devices"),
	item("device-cgroup-rule", "device_cgroup_rules"),
	does("device-read-bps", "`blkio_config`", func(d *def, a arg) { d.deviceRate("device_read_bps", a) }),
	does("device-read-iops", "`blkio_config`", func(d *def, a arg) { d.deviceRate("device_read_iops", a) }),
	does("device-write-bps", "`blkio_config`", func(d *def, a arg) { d.deviceRate("device_write_bps", a) }),
	does("device-write-iops", "`blkio_config`", func(d *def, a arg) { d.deviceRate("device_write_iops", a) }),
	idleFlag("disable-content-trust", "policy.json says which signatures are needed"),
	does("dns", "`dns`", (*def).nameServer),
	item("dns-option dns-opt", "dns_opt"),
	item("dns-search", "dns_search"),
	value("domainname", "domainname"),
	does("entrypoint", "`entrypoint`", (*def).entrypoint),
	does("env", "`environment`", (*def).environment).and("e"),
	does("env-file", "`env_file` with `format: raw`", func(d *def, a arg) {
		d.addMapping("env_file", a, pair{"path", scalarOf(a, d.absolute(a.text))}, pair{"format", scalarOf(a, "raw")})
	}),
	noFlag("env-host", "the variables of whoever starts it", "name those that are needed under environment:"),
	no("env-merge", "variables made of the image's", "write the values under environment:"),
	idle("expose", "containers of one network reach each other on every port"),
	no("gidmap", noMapping, mapCure),
	does("gpus", "`gpus`", (*def).gpus),
	does("group-add", "`group_add`", func(d *def, a arg) {
		if a.text == "keep-groups" {
			d.lost(a, "the groups of whoever starts it", "name the groups that are needed")
			return
		}
		d.add("group_add", a, a.text)
	}),
	does("health-cmd", "`healthcheck: test`", (*def).healthCommand),
	does("health-interval", "`healthcheck: interval`", (*def).healthInterval),
	idle("health-log-destination", "the journal has what checks say"),
	idle("health-max-log-count", "the journal has what checks say"),
	idle("health-max-log-size", "the journal has what checks say"),
	does("health-on-failure", "`restart`: an unhealthy container with a restart policy is started again", (*def).healthOnFailure),
	does("health-retries", "`healthcheck: retries`", func(d *def, a arg) { d.pair(health, "retries", a, bareOf(a, a.text)) }),
	does("health-start-interval", "`healthcheck: start_interval`", func(d *def, a arg) { d.pair(health, "start_interval", a, scalarOf(a, a.text)) }),
	does("health-start-period", "`healthcheck: start_period`", func(d *def, a arg) { d.pair(health, "start_period", a, scalarOf(a, a.text)) }),
	no("health-startup-cmd", noStart, startUp),
	no("health-startup-interval", noStart, startUp),
	no("health-startup-retries", noStart, startUp),
	no("health-startup-success", noStart, startUp),
	no("health-startup-timeout", noStart, startUp),
	does("health-timeout", "`healthcheck: timeout`", func(d *def, a arg) { d.pair(health, "timeout", a, scalarOf(a, a.text)) }),
	no("hosts-file", "another /etc/hosts", "write extra_hosts:"),
	value("hostname", "hostname").and("h"),
	no("hostuser", "users of the host in the image", "name the user by number under user:"),
	idle("http-proxy", "no variables of the host's are passed on"),
	does("image-volume", "nothing: what the image declares as volumes are volumes", func(d *def, a arg) {
		if a.text != "anonymous" && a.text != "bind" {
			d.lost(a, "what the image declares as volumes are volumes", "")
		}
	}),
	truth("init", "init"),
	idle("init-path", "unitc has an init of its own"),
	truth("interactive", "stdin_open").and("i"),
	does("ip", "`networks: NAME: ipv4_address`", func(d *def, a arg) { d.ips = append(d.ips, a) }),
	does("ip6", "`networks: NAME: ipv6_address`", func(d *def, a arg) { d.ips = append(d.ips, a) }),
	does("ipc", "`ipc`", func(d *def, a arg) { d.namespace("ipc", a) }),
	idle("isolation", "it is for Windows"),
	no("kernel-memory", "cgroup v2 counts the kernel's memory with the rest", "write mem_limit:"),
	does("label", "`labels`, and `x-update` of io.containers.autoupdate", (*def).label).and("l"),
	does("label-file", "`label_file`", func(d *def, a arg) { d.add("label_file", a, d.absolute(a.text)) }),
	does("link", "`links`", func(d *def, a arg) {
		d.add("links", a, a.text)
		d.changed(a, "both have to be on one network, and a start of this one starts the other", "convert the other one too; without networks: both are on that of lone containers")
	}),
	no("link-local-ip", "link-local addresses", "write networks: NAME: link_local_ips:"),
	does("log-driver", "`logging: driver`", (*def).logDriver),
	does("log-opt", "`logging: options`", (*def).logOption),
	does("mac-address", "`mac_address`", func(d *def, a arg) { d.mac = &a }),
	value("memory", "mem_limit").and("m"),
	value("memory-reservation", "mem_reservation"),
	value("memory-swap", "memswap_limit"),
	no("memory-swappiness", "cgroup v2 has no swappiness of its own", "write memswap_limit: equal to mem_limit: for no swap"),
	does("mount", "`volumes`", (*def).mount),
	does("name", "`container_name`; of a command line the file's name", func(d *def, a arg) { d.setText("container_name", a, a.text) }),
	does("network net", "`networks` or `network_mode`", func(d *def, a arg) { d.networks = append(d.networks, a) }),
	does("network-alias net-alias", "`networks: NAME: aliases`", func(d *def, a arg) { d.aliases = append(d.aliases, a) }),
	option{name: "no-healthcheck", flag: true, becomes: "`healthcheck: disable`", do: func(d *def, a arg) {
		if isTrue(a.text) {
			d.pair(health, "disable", a, bareOf(a, "true"))
		}
	}},
	noFlag("no-hostname", "an /etc/hostname that is missing", ""),
	noFlag("no-hosts", "an /etc/hosts of the image", ""),
	noFlag("oom-kill-disable", "cgroup v2 cannot keep the kernel from killing for memory", ""),
	numeric("oom-score-adj", "oom_score_adj"),
	no("os", "the operating system", "write platform: OS/ARCH"),
	idleFlag("passwd", "names of users are those of the image"),
	no("passwd-entry", "lines of /etc/passwd", "mount a file of your own under volumes:"),
	no("group-entry", "lines of /etc/group", "mount a file of your own under volumes:"),
	no("personality", "the personality of the payload", ""),
	does("pid", "`pid`", func(d *def, a arg) { d.namespace("pid", a) }),
	idle("pidfile", noGuess),
	does("pids-limit", "`pids_limit`", func(d *def, a arg) {
		if a.text == "0" {
			a.text = "-1"
		}
		d.setNumber("pids_limit", a)
	}),
	value("platform", "platform"),
	no("pod", "pods are Podman's", "write network_mode: container:NAME of one that has the network and ports"),
	no("pod-id-file", "pods are Podman's", ""),
	no("preserve-fd", "descriptors of whoever starts it", "write systemd: socket:"),
	no("preserve-fds", "descriptors of whoever starts it", "write systemd: socket:"),
	truth("privileged", "privileged"),
	item("publish", "ports").and("p"),
	noFlag("publish-all", "which ports the image exposes is not known here", "write those that are needed under ports:").and("P"),
	does("pull", "`pull_policy`", (*def).pull),
	idleFlag("quiet", noAttach).and("q"),
	no("rdt-class", "classes of cache and memory bandwidth", ""),
	option{name: "read-only", flag: true, becomes: "`read_only`, with Podman's tmpfs at /run, /tmp and /var/tmp", do: func(d *def, a arg) {
		d.setTrue("read_only", a)
		if d.readOnly = nil; isTrue(a.text) {
			d.readOnly = &a
		}
	}},
	option{name: "read-only-tmpfs", flag: true, becomes: "`tmpfs`", do: func(d *def, a arg) { d.keepsTmp = !isTrue(a.text) }},
	idleFlag("replace", "a unit has one container"),
	does("requires", "`systemd: unit: Requires` and `After`", func(d *def, a arg) {
		for name := range strings.SplitSeq(a.text, ",") {
			d.directive("unit", "Requires", a.with(d.set.unitOfContainer(name)+".service"))
			d.directive("unit", "After", a.with(d.set.unitOfContainer(name)+".service"))
		}
	}),
	does("restart", "`restart`", func(d *def, a arg) { d.setText("restart", a, a.text) }),
	idle("retry", noRetry),
	idle("retry-delay", noRetry),
	idleFlag("rm", "nothing stays of a container that has ended, but its volumes"),
	idleFlag("rmi", "images stay until unitc prune"),
	noFlag("rootfs", "the image's place", "write rootfs: with the directory"),
	does("runtime", "`runtime`", func(d *def, a arg) {
		if a.text == "runc" || a.text == "crun" {
			d.same(a, "unitc has a runtime of its own")
			return
		}
		d.setText("runtime", a, a.text)
	}),
	does("sdnotify", "`systemd: notify`", func(d *def, a arg) {
		d.notify = map[string]string{"container": "true", "healthy": "healthy"}[a.text]
	}),
	no("seccomp-policy", "profiles in images", "write security_opt: [seccomp=FILE]"),
	does("seccomp-file", "`security_opt: [seccomp=FILE]`", func(d *def, a arg) { d.add("security_opt", a, "seccomp="+d.absolute(a.text)) }),
	does("secret", "`secrets`; of type=env `env_file: ./NAME.secrets`, with what to write there", (*def).secret),
	does("security-opt", "`security_opt`", (*def).securityOption),
	value("shm-size", "shm_size"),
	no("shm-size-systemd", "the size of what systemd in the container keeps in memory", "write tmpfs: /run:size=SIZE"),
	idleFlag("sig-proxy", noAttach),
	value("stop-signal", "stop_signal"),
	does("stop-timeout", "`stop_grace_period`", (*def).stopTimeout),
	no("storage-opt", "a quota on the root file system", "write driver_opts: {size: …} of a volume"),
	no("subgidname", noMapping, mapCure),
	no("subuidname", noMapping, mapCure),
	does("sysctl", "`sysctls`", func(d *def, a arg) { d.keyValue("sysctls", a) }),
	does("systemd", "nothing: what an init of the image needs stands in unitc.yaml(5), SYSTEMD AS THE PAYLOAD", func(d *def, a arg) {
		if a.text == "always" {
			d.changed(a, "an init of the image runs as it is", "write what unitc.yaml(5) has under SYSTEMD AS THE PAYLOAD")
		}
	}),
	does("timeout", "`systemd: service: RuntimeMaxSec`", func(d *def, a arg) { d.directive("service", "RuntimeMaxSec", a) }),
	idle("tls-verify", noAuth),
	does("tmpfs", "`tmpfs`", (*def).tmpfs),
	truth("tty", "tty").and("t"),
	does("tz", "`volumes`: the host's file of that zone at /etc/localtime", (*def).timeZone),
	no("uidmap", noMapping, mapCure),
	does("ulimit", "`ulimits`", (*def).ulimit),
	no("umask", "the payload's umask", "write systemd: service: UMask:"),
	does("unsetenv", "`environment`", func(d *def, a arg) { d.pair("environment", a.text, a, bareOf(a, "null")) }),
	noFlag("unsetenv-all", "the image's variables", "unset them one by one: NAME under environment:"),
	does("use-api-socket", "lost", func(d *def, a arg) { d.lost(a, "the engine's socket", "mount it under volumes:") }),
	value("user", "user").and("u"),
	does("userns", "`userns_mode`", (*def).userNamespace),
	value("uts", "uts"),
	no("variant", "the processor's variant", "write platform: OS/ARCH/VARIANT"),
	does("volume", "`volumes`", (*def).volume).and("v"),
	no("volume-driver", "drivers of volumes", "write driver_opts: of a volume"),
	no("volumes-from", "volumes of another container", "name the volumes themselves under volumes:"),
	value("workdir", "working_dir").and("w"),
}

// optionOf is the row of a name.
func optionOf(name string) *option {
	for i := range options {
		for one := range strings.FieldsSeq(options[i].name) {
			if one == name {
				return &options[i]
			}
		}
	}
	return nil
}

func optionOfLetter(letter string) *option {
	for i := range options {
		if options[i].short == letter {
			return &options[i]
		}
	}
	return nil
}

// absolute is a path of a command line.
func (d *def) absolute(path string) string {
	if path == "" || filepath.IsAbs(path) || path[0] == variableMark {
		return path
	}
	return filepath.Join(d.set.host.Dir, path)
}

// keyValue takes NAME=VALUE.
func (d *def) keyValue(key string, a arg) {
	name, value, _ := strings.Cut(a.text, "=")
	if name == "" {
		d.lost(a, "no name in "+a.text, "write NAME=VALUE")
		return
	}
	d.pair(key, name, a, scalarOf(a, value))
}

func (d *def) environment(a arg) {
	name, value, given := strings.Cut(a.text, "=")
	if before, ok := strings.CutSuffix(name, "*"); ok && !given {
		d.lost(a, "the variables "+before+"… of whoever starts it", "name those that are needed")
		return
	}
	if !given {
		if value, given = d.getenv(name); !given {
			d.lost(a, "the variable is not set here", "write "+name+"=VALUE")
			return
		}
	}
	d.keyValue("environment", a.with(name+"="+value))
}

// entrypoint is a program, or in Podman a JSON list of it and its arguments.
func (d *def) entrypoint(a arg) {
	all := []string{a.text}
	var parsed []string
	switch {
	case d.podman && json.Unmarshal([]byte(a.text), &parsed) == nil:
		all = parsed
	case a.text == "":
		all = nil
	}
	d.addWords("entrypoint", a, all)
}
