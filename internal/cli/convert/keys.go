// SPDX-License-Identifier: Apache-2.0

package convert

import "strings"

// key is one of a section of a Quadlet file, and what becomes of it.
type key struct {
	name string
	read reading
	do   func(q *quadlet, d *def, a arg)
	// becomes is for the manual: keys of definitions in backquotes, or a word on why
	// there is none.
	becomes string
}

// reading takes the values of a key as Podman reads them.
type reading func(q *quadlet, row *key, s *section)

// one takes the last value, without quotes around all of it.
func one(q *quadlet, row *key, s *section) {
	if a, ok := s.last(row.name); ok {
		if n := len(a.text); n > 1 && a.text[0] == '"' && a.text[n-1] == '"' {
			a.text = a.text[1 : n-1]
		}
		row.do(q, q.def, a.with(q.expand.value(a)))
	}
}

// raw takes the last value without putting anything in; it may be empty.
func raw(q *quadlet, row *key, s *section) {
	a, _ := s.last(row.name)
	if a.name == "" {
		a.name, a.at = row.name+"=", s.at
	}
	row.do(q, q.def, a)
}

// each takes every value as it stands.
func each(q *quadlet, row *key, s *section) {
	for _, a := range s.all(row.name) {
		row.do(q, q.def, a.with(q.expand.value(a)))
	}
}

// split takes every word of every value.
func split(q *quadlet, row *key, s *section) {
	for _, a := range s.all(row.name) {
		words, err := splitWords(a.text, true)
		if err != nil {
			q.def.lost(a, err.Error(), "")
		}
		for _, word := range words {
			row.do(q, q.def, a.with(q.expand.value(a.with(word))))
		}
	}
}

// once tells of a key that nothing is made of, at its first value.
func once(q *quadlet, row *key, s *section) {
	if all := s.all(row.name); len(all) > 0 {
		row.do(q, q.def, all[0])
	}
}

// viaOption has an option of podman run do the work, as Podman itself does.
func viaOption(name string) func(*quadlet, *def, arg) {
	return func(q *quadlet, d *def, a arg) {
		o := optionOf(name)
		o.do(d, a)
	}
}

// as is a row whose value an option of podman run takes.
func as(name string, read reading, option string) key {
	return key{name: name, read: read, do: viaOption(option), becomes: optionOf(option).becomes}
}

// beside is as, for a path beside the file.
func beside(name string, read reading, option string) key {
	row := as(name, read, option)
	do := row.do
	row.do = func(q *quadlet, d *def, a arg) { do(q, d, a.with(q.absolute(a.text))) }
	return row
}

// gone is a row of what definitions cannot say.
func gone(name, what, cure string) key {
	becomes := "lost: " + what
	if cure != "" {
		becomes += "; " + cure
	}
	return key{name: name, read: once, becomes: becomes, do: func(_ *quadlet, d *def, a arg) { d.lost(a, what, cure) }}
}

// needless is a row of what takes no word.
func needless(name, why string) key {
	return key{name: name, read: once, becomes: "nothing: " + why, do: func(_ *quadlet, d *def, a arg) { d.same(a, why) }}
}

// security is a row of security_opt.
func security(name string, read reading, prefix string) key {
	separator := "\n" // which is in no value
	if prefix == "mask=" || prefix == "unmask=" {
		separator = ":"
	}
	return key{name: name, read: read, becomes: "`security_opt: [" + prefix + "]`", do: func(_ *quadlet, d *def, a arg) {
		for text := range strings.SplitSeq(a.text, separator) {
			if prefix == "unmask=" && strings.EqualFold(text, "all") {
				text = "ALL"
			}
			d.add("security_opt", a, prefix+text)
		}
	}}
}

const (
	noMapping = "unitc chooses the ids of the host, and shows files of volumes with the ids that they have on the disk"
	mapCure   = "chown data that was written with shifted ids"
	noRetry   = "a pull that was broken off goes on where it broke"
	noModule  = "containers.conf and options of podman itself are not read"
	ownCgroup = "the payload has its own cgroup below the unit's slice"
)

// containerKeys are those of podman-container.unit(5).
var containerKeys = []key{
	as("AddCapability", split, "cap-add"),
	{name: "AddDevice", read: split, do: (*quadlet).addDevice, becomes: "`devices`"},
	as("AddHost", each, "add-host"),
	as("Annotation", split, "annotation"),
	security("AppArmor", one, "apparmor="),
	{name: "AutoUpdate", read: one, do: func(_ *quadlet, d *def, a arg) { d.autoUpdate(a) }, becomes: "`x-update`"},
	needless("CgroupsMode", ownCgroup),
	as("ContainerName", one, "name"),
	gone("ContainersConfModule", noModule, "write what it sets as keys of the definition"),
	as("DNS", each, "dns"),
	as("DNSOption", each, "dns-option"),
	as("DNSSearch", each, "dns-search"),
	as("DropCapability", split, "cap-drop"),
	{name: "Entrypoint", read: raw, do: (*quadlet).entrypoint, becomes: "`entrypoint`"},
	as("Environment", split, "env"),
	beside("EnvironmentFile", split, "env-file"),
	as("EnvironmentHost", one, "env-host"),
	{name: "Exec", read: once, do: (*quadlet).exec, becomes: "`command`"},
	as("ExposeHostPort", each, "expose"),
	as("GIDMap", each, "gidmap"),
	gone("GlobalArgs", noModule, "write what they set as keys of the definition"),
	{name: "Group", read: one, do: func(q *quadlet, d *def, a arg) {
		if q.own().text("User") == "" {
			d.lost(a, "a group without a user", "write user: USER:GROUP")
		}
	}, becomes: "`user: USER:GROUP`"},
	as("GroupAdd", each, "group-add"),
	as("HealthCmd", one, "health-cmd"),
	as("HealthInterval", one, "health-interval"),
	as("HealthLogDestination", one, "health-log-destination"),
	as("HealthMaxLogCount", one, "health-max-log-count"),
	as("HealthMaxLogSize", one, "health-max-log-size"),
	as("HealthOnFailure", one, "health-on-failure"),
	as("HealthRetries", one, "health-retries"),
	as("HealthStartPeriod", one, "health-start-period"),
	as("HealthStartupCmd", one, "health-startup-cmd"),
	as("HealthStartupInterval", one, "health-startup-interval"),
	as("HealthStartupRetries", one, "health-startup-retries"),
	as("HealthStartupSuccess", one, "health-startup-success"),
	as("HealthStartupTimeout", one, "health-startup-timeout"),
	as("HealthTimeout", one, "health-timeout"),
	as("HostName", one, "hostname"),
	as("HttpProxy", one, "http-proxy"),
	as("IP", one, "ip"),
	as("IP6", one, "ip6"),
	{name: "Image", read: one, do: (*quadlet).imageOf, becomes: "`image`; of a *.image* also `platform` and `pull_policy`, of a *.build* `build` and `pull_policy: never`"},
	as("Label", split, "label"),
	as("LogDriver", one, "log-driver"),
	as("LogOpt", split, "log-opt"),
	security("Mask", split, "mask="),
	as("Memory", one, "memory"),
	{name: "Mount", read: split, do: (*quadlet).mount, becomes: "`volumes`"},
	{name: "Network", read: each, do: (*quadlet).addNetwork, becomes: "`networks` or `network_mode`"},
	as("NetworkAlias", each, "network-alias"),
	needless("NoNewPrivileges", "it is so unless `security_opt` says otherwise"),
	{name: "Notify", read: one, do: func(_ *quadlet, d *def, a arg) { d.notify = strings.ToLower(a.text) }, becomes: "`systemd: notify`"},
	as("PidsLimit", one, "pids-limit"),
	{name: "Pod", read: one, do: (*quadlet).joinPod, becomes: "`network_mode: container:POD`"},
	{name: "PodmanArgs", read: once, do: (*quadlet).podmanArgs, becomes: "what the option would become, see below"},
	as("PublishPort", each, "publish"),
	as("Pull", one, "pull"),
	as("ReadOnly", one, "read-only"),
	as("ReadOnlyTmpfs", one, "read-only-tmpfs"),
	{name: "ReloadCmd", read: once, do: (*quadlet).reloadCommand, becomes: "`systemd: service: ExecReload` with unitc exec"},
	{name: "ReloadSignal", read: one, do: (*quadlet).reloadSignal, becomes: "`systemd: service: ExecReload` with unitc kill"},
	gone("RemapGid", noMapping, mapCure),
	gone("RemapUid", noMapping, mapCure),
	gone("RemapUidSize", noMapping, mapCure),
	gone("RemapUsers", noMapping, mapCure),
	needless("Retry", noRetry),
	needless("RetryDelay", noRetry),
	{name: "Rootfs", read: one, do: (*quadlet).rootfs, becomes: "`rootfs`"},
	as("RunInit", one, "init"),
	beside("SeccompProfile", one, "seccomp-file"),
	as("Secret", split, "secret"),
	{name: "SecurityLabelDisable", read: one, do: switchOf("security_opt", "label=disable"), becomes: "`security_opt: [label=disable]`"},
	security("SecurityLabelFileType", one, "label=filetype:"),
	security("SecurityLabelLevel", one, "label=level:"),
	{name: "SecurityLabelNested", read: one, do: switchOf("security_opt", "label=nested"), becomes: "`security_opt: [label=nested]`"},
	security("SecurityLabelType", one, "label=type:"),
	{name: "ServiceName", read: once, do: silent, becomes: "the file's name"},
	as("ShmSize", one, "shm-size"),
	{name: "StartWithPod", read: once, do: silent, becomes: "`systemd: unit: Wants` of the pod's definition"},
	as("StopSignal", one, "stop-signal"),
	as("StopTimeout", one, "stop-timeout"),
	as("SubGIDMap", each, "subgidname"),
	as("SubUIDMap", each, "subuidname"),
	as("Sysctl", split, "sysctl"),
	as("Timezone", one, "tz"),
	as("Tmpfs", each, "tmpfs"),
	as("UIDMap", each, "uidmap"),
	as("Ulimit", each, "ulimit"),
	security("Unmask", split, "unmask="),
	{name: "User", read: one, do: (*quadlet).user, becomes: "`user`"},
	as("UserNS", one, "userns"),
	{name: "VolatileTmp", read: one, do: func(_ *quadlet, d *def, a arg) {
		if isTrue(a.text) {
			d.add("tmpfs", a, "/tmp:size=512m,mode=1777,exec")
		}
	}, becomes: "`tmpfs`"},
	{name: "Volume", read: each, do: (*quadlet).addVolume, becomes: "`volumes`"},
	as("WorkingDir", one, "workdir"),
}

// switchOf adds an item to a list where a switch is on.
func switchOf(name, item string) func(*quadlet, *def, arg) {
	return func(_ *quadlet, d *def, a arg) {
		if isTrue(a.text) {
			d.add(name, a, item)
		}
	}
}
