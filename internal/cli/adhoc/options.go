// SPDX-License-Identifier: Apache-2.0

// Package adhoc makes a unit of systemd's for one container without a
// definition. Options become a definition, and generator and helper do with it
// what they do with any other; only the files are in other places, where they
// end with the container.
package adhoc

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/cli/convert"
)

// Options are docker run's everyday ones.
type Options struct {
	Name                     string
	Image, RootFS, Bundle    string
	Command                  []string
	Interactive, TTY, Detach bool
	// File is a definition that the other options are laid over; nil = they are all
	// that there is.
	File *catalog.Candidate

	entrypoint, user, dir, hostname, memory, userns, stopSignal, shm string
	cpus                                                             string
	pids                                                             int64
	env, envFiles, volumes, tmpfs, ports, labels                     []string
	capAdd, capDrop, security, devices, hosts, dns, ulimits          []string
	readOnly, init, privileged                                       bool
	networks, aliases                                                []string
	ip, ip6, mac                                                     string

	more []convert.Given // options of the table of package convert
	// Remark is told what an option means otherwise than with docker.
	Remark func(what string)
}

// Flags binds the options.
func (o *Options) Flags(f *pflag.FlagSet) {
	f.StringVar(&o.Name, "name", "", "call it `NAME`")
	f.BoolVarP(&o.Interactive, "interactive", "i", false, "pass standard input on")
	f.BoolVarP(&o.TTY, "tty", "t", false, "give it a terminal")
	f.BoolVarP(&o.Detach, "detach", "d", false, "leave it running, and print its name")
	f.StringVar(&o.RootFS, "rootfs", "", "run in the directory `DIR`, or in a view of the host: host")
	f.StringVar(&o.Bundle, "bundle", "", "run the OCI bundle in `DIR`")
	f.StringVar(&o.entrypoint, "entrypoint", "", "run `PROGRAM` instead of the image's own")
	f.StringVarP(&o.user, "user", "u", "", "run as `USER[:GROUP]`")
	f.StringVarP(&o.dir, "workdir", "w", "", "run in `DIR`")
	f.StringVar(&o.hostname, "hostname", "", "the host's `NAME` inside")
	f.StringArrayVarP(&o.env, "env", "e", nil, "set `NAME=VALUE`, or NAME as it is here")
	f.StringArrayVar(&o.envFiles, "env-file", nil, "set the variables of `FILE`")
	f.StringArrayVarP(&o.volumes, "volume", "v", nil, "mount `SOURCE:TARGET[:OPTIONS]`")
	f.StringArrayVar(&o.tmpfs, "tmpfs", nil, "mount a tmpfs at `TARGET[:OPTIONS]`")
	f.StringArrayVarP(&o.ports, "publish", "p", nil, "publish `[ADDRESS:]PORT:PORT[/PROTOCOL]`")
	o.networkFlags(f)
	f.StringArrayVarP(&o.labels, "label", "l", nil, "set `NAME=VALUE`")
	f.StringVarP(&o.memory, "memory", "m", "", "limit memory to `BYTES`, as 64m")
	f.StringVar(&o.cpus, "cpus", "", "limit processor time to `NUMBER` of processors")
	f.Int64Var(&o.pids, "pids-limit", 0, "limit processes to `NUMBER`")
	f.StringArrayVar(&o.ulimits, "ulimit", nil, "set `NAME=SOFT[:HARD]`")
	f.StringVar(&o.shm, "shm-size", "", "size of /dev/shm in `BYTES`")
	f.BoolVar(&o.readOnly, "read-only", false, "make its root read-only")
	f.BoolVar(&o.init, "init", false, "put an init in front that reaps and passes signals on")
	f.BoolVar(&o.privileged, "privileged", false, "take nearly all that confines it away")
	f.StringArrayVar(&o.capAdd, "cap-add", nil, "add `CAPABILITY`")
	f.StringArrayVar(&o.capDrop, "cap-drop", nil, "drop `CAPABILITY`")
	f.StringArrayVar(&o.security, "security-opt", nil, "`OPTION`, as seccomp=FILE")
	f.StringArrayVar(&o.devices, "device", nil, "give it `DEVICE[:TARGET[:rwm]]`")
	f.StringVar(&o.userns, "userns", "", "`MODE` of user ids: auto or host")
	f.StringArrayVar(&o.hosts, "add-host", nil, "know `NAME:ADDRESS`")
	f.StringArrayVar(&o.dns, "dns", nil, "ask the name server `ADDRESS`")
	f.StringVar(&o.stopSignal, "stop-signal", "", "stop it by `SIGNAL`")
	o.moreFlags(f)
}

// definition is the same in the words of definitions; JSON is YAML.
func (o *Options) definition() ([]byte, error) {
	d := map[string]any{}
	text := func(key, value string) {
		if value != "" {
			d[key] = value
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			d[key] = values
		}
	}
	text("image", o.Image)
	text("rootfs", o.RootFS)
	text("bundle", o.Bundle)
	text("user", o.user)
	text("working_dir", o.dir)
	text("hostname", o.hostname)
	text("mem_limit", o.memory)
	text("userns_mode", o.userns)
	text("stop_signal", o.stopSignal)
	text("shm_size", o.shm)
	text("cpus", o.cpus)
	list("command", o.Command)
	list("tmpfs", o.tmpfs)
	list("ports", o.ports)
	list("labels", o.labels)
	list("cap_add", o.capAdd)
	list("cap_drop", o.capDrop)
	list("security_opt", o.security)
	list("devices", o.devices)
	list("extra_hosts", o.hosts)
	list("dns", o.dns)
	if err := o.connection(d); err != nil {
		return nil, err
	}
	if o.entrypoint != "" {
		d["entrypoint"] = []string{o.entrypoint}
	}
	if o.pids != 0 {
		d["pids_limit"] = o.pids
	}
	for key, on := range map[string]bool{"read_only": o.readOnly, "init": o.init, "privileged": o.privileged} {
		if on {
			d[key] = true
		}
	}
	env, err := o.environment()
	if err != nil {
		return nil, err
	}
	if len(env) > 0 {
		d["environment"] = env
	}
	if len(o.volumes) > 0 {
		if d["volumes"], err = absolute(o.volumes); err != nil {
			return nil, err
		}
	}
	if len(o.ulimits) > 0 {
		limits := map[string]any{}
		for _, u := range o.ulimits {
			name, value, ok := strings.Cut(u, "=")
			if !ok {
				return nil, fmt.Errorf("--ulimit %s: want NAME=SOFT[:HARD]", u)
			}
			soft, hard, ok := strings.Cut(value, ":")
			if !ok {
				hard = soft
			}
			for _, n := range []string{soft, hard} {
				if _, err := strconv.ParseInt(n, 10, 64); err != nil {
					return nil, fmt.Errorf("--ulimit %s: %q is no number; -1 is no limit", u, n)
				}
			}
			limits[name] = map[string]any{"soft": json.Number(soft), "hard": json.Number(hard)}
		}
		d["ulimits"] = limits
	}
	// Values are the shell's and need no more variables put in.
	data, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing the definition: %w", err)
	}
	return []byte(strings.ReplaceAll(string(data), "$", "$$")), nil
}

// environment takes variables of files first, then those of the command line.
func (o *Options) environment() (map[string]string, error) {
	env := map[string]string{}
	set := func(line string) {
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				return
			}
		}
		env[name] = value
	}
	for _, path := range o.envFiles {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("--env-file: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				set(line)
			}
		}
	}
	if o.TTY && o.Bundle == "" {
		set("TERM")
	}
	for _, line := range o.env {
		set(line)
	}
	return env, nil
}

// absolute makes sources of the working directory what they are.
func absolute(volumes []string) ([]string, error) {
	var list []string
	for _, v := range volumes {
		source, rest, ok := strings.Cut(v, ":")
		if ok && strings.HasPrefix(source, ".") {
			abs, err := filepath.Abs(source)
			if err != nil {
				return nil, err
			}
			v = abs + ":" + rest
		}
		list = append(list, v)
	}
	return list, nil
}
