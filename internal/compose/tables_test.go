// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"strings"
	"testing"
)

// composeKeys are the keys of the Compose Specification's service element, as of
// its text and compose-go's schema in July 2026.
var composeKeys = strings.Fields(`
annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count
cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy
develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends
external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging
mac_address mem_limit mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable
oom_score_adj pid pids_limit platform ports post_start pre_start pre_stop privileged profiles provider pull_policy
pull_refresh_after read_only restart runtime scale secrets security_opt shm_size stdin_open stop_grace_period
stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes volumes_from working_dir`)

// ourKeys are what unitc adds.
var ourKeys = append([]string{"bundle", "rootfs", "systemd"}, ownExtensions...)

func TestEveryComposeKeyHasARow(t *testing.T) {
	if len(composeKeys) != 93 {
		t.Fatalf("the specification has 93 keys, the list has %d", len(composeKeys))
	}
	for _, key := range slices.Concat(composeKeys, ourKeys) {
		if findField(serviceKeys, key) == nil {
			t.Errorf("%s has no row", key)
		}
	}
	for i := range serviceKeys {
		if name := serviceKeys[i].name; !slices.Contains(composeKeys, name) && !slices.Contains(ourKeys, name) {
			t.Errorf("%s is neither Compose's nor listed as ours", name)
		}
	}
}

// TestTables holds every table to what the code relies on.
func TestTables(t *testing.T) {
	seen := map[*shape]bool{}
	checkTable(t, "service", serviceKeys, seen)
	if !slices.IsSortedFunc(directives[:], func(a, b directive) int { return strings.Compare(a.name, b.name) }) {
		t.Error("directives are not sorted")
	}
	for _, key := range launchKeys {
		if findDirective(key.name) == nil {
			t.Errorf("%s is refused and no directive", key.name)
		}
	}
	for _, name := range passedExec {
		if d := findDirective(name); d == nil || d.rooms&inExec == 0 {
			t.Errorf("%s is passed and no directive of systemd.exec(5)", name)
		}
	}
}

func checkTable(t *testing.T, path string, fields []field, seen map[*shape]bool) {
	for i := range fields {
		f := &fields[i]
		where := path + "." + f.name
		if i > 0 && fields[i-1].name >= f.name {
			t.Errorf("%s is not sorted", where)
		}
		if f.refused == "" && (f.doc == "" || !strings.HasSuffix(f.doc, ".")) {
			t.Errorf("%s has no sentence of documentation", where)
		}
		if f.refused == "" && f.example == "" {
			t.Errorf("%s has no example", where)
		}
		checkShape(t, where, f.shape, seen)
	}
}

func checkShape(t *testing.T, where string, s *shape, seen map[*shape]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	if s.kinds == 0 {
		t.Errorf("%s takes nothing", where)
	}
	if s.kinds&list != 0 && s.item == nil {
		t.Errorf("%s is a list of nothing", where)
	}
	if s.kinds&mapping != 0 && s.keys == nil && s.open == nil {
		t.Errorf("%s is a mapping without keys", where)
	}
	checkShape(t, where+"[]", s.item, seen)
	checkShape(t, where+".*", s.open, seen)
	checkTable(t, where, s.keys, seen)
}

// TestExamples parses the example of every row: documents and cures show them.
func TestExamples(t *testing.T) {
	for i := range serviceKeys {
		f := &serviceKeys[i]
		if f.refused != "" {
			continue
		}
		text := f.name + ": " + f.example + "\n"
		switch f.name {
		case "rootfs", "image", "bundle":
		case "build", "x-persist", "x-update":
			text += "image: web\n"
		case "memswap_limit":
			text += "mem_limit: 512m\nrootfs: host\n"
		case "x-idle-timeout":
			text += "rootfs: host\nports: [{target: 80, published: 80, x-activation: true}]\n"
		default:
			text += "rootfs: host\n"
		}
		in := parseText("web", text)
		in.Read = func(path string) ([]byte, error) {
			return map[string][]byte{"/etc/unitc/base.yaml": []byte("services: {base: {}}"), "/etc/web/labels": []byte("a=b")}[path], nil
		}
		if file := parse(in); file.Problems.HasErrors() {
			t.Errorf("%s\n%s", text, file.Problems)
		}
	}
}
