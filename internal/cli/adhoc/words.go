// SPDX-License-Identifier: Apache-2.0

package adhoc

import "strings"

// optionOf has the option for each key of the definition that options become.
var optionOf = map[string]string{
	"bundle": "--bundle", "cap_add": "--cap-add", "cap_drop": "--cap-drop", "command": "the command", "cpus": "--cpus", "devices": "--device", "dns": "--dns",
	"entrypoint": "--entrypoint", "environment": "--env", "extra_hosts": "--add-host", "hostname": "--hostname", "image": "the image", "init": "--init",
	"labels": "--label", "mem_limit": "--memory", "network_mode": "--network", "networks": "--network", "pids_limit": "--pids-limit", "ports": "--publish",
	"privileged": "--privileged", "read_only": "--read-only", "rootfs": "--rootfs", "security_opt": "--security-opt", "shm_size": "--shm-size",
	"stop_signal": "--stop-signal", "tmpfs": "--tmpfs", "ulimits": "--ulimit", "user": "--user", "userns_mode": "--userns",
	"volumes": "--volume", "working_dir": "--workdir",
}

func init() {
	for key, option := range keysOfMore() {
		if optionOf[key] == "" {
			optionOf[key] = option
		}
	}
}

// Words says in the words of options what is said in those of a definition: the
// one who reads it has written no file.
func (u *Unit) Words(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, u.dir+"/") {
			_, line, _ = strings.Cut(line, ": error: ")
		}
		lines = append(lines, inOptions(line))
	}
	return strings.Join(lines, "\n")
}

func inOptions(line string) string {
	if key, rest, ok := strings.Cut(line, ": "); ok {
		name, _, _ := strings.Cut(key, "[")
		name, _, _ = strings.Cut(name, ".")
		if option := optionOf[name]; option != "" {
			line = option + ": " + rest
		}
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(line, "`")
		word, after, closed := strings.Cut(rest, "`")
		if !ok || !closed {
			b.WriteString(line)
			return b.String()
		}
		key, value, _ := strings.Cut(word, ":")
		option := optionOf[key]
		switch {
		case option == "" || len(key) == len(word):
			option = "`" + word + "`"
		case strings.HasPrefix(option, "--"):
			option = "`" + strings.TrimSpace(option+value) + "`"
		default:
			option = strings.TrimSpace(option + value)
		}
		b.WriteString(before + option)
		line = after
	}
}
