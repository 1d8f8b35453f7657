// SPDX-License-Identifier: Apache-2.0

// Package change compares what runs with what a definition now says, in the
// definition's words, and knows what it takes to bring one to the other. It
// changes nothing.
package change

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// Effort is what it takes to apply a change.
type Effort string

// The efforts, the least first.
const (
	Live     Effort = "live"     // systemd is told, nothing ends
	Restart  Effort = "restart"  // the payload ends and starts with it
	Recreate Effort = "recreate" // the same, and it is another container: other files or other ids
)

var order = []Effort{Live, Restart, Recreate}

// Change is one field that differs; "" = not there.
type Change struct {
	Field   string `json:"field"`
	Running string `json:"running"`
	File    string `json:"file"`
	Effort  Effort `json:"effort"`
}

// row says what a change of a key takes, and why it takes no more.
type row struct {
	key    string // "." at its end stands for all below it
	effort Effort
	why    string
}

// rows are the keys that take something else than a restart, as most do: what a
// process was given when it was made cannot be taken back.
var rows = []row{
	{"mem_limit", Live, "a limit of the cgroup"},
	{"mem_reservation", Live, "a limit of the cgroup"},
	{"memswap_limit", Live, "a limit of the cgroup"},
	{"cpus", Live, "a limit of the cgroup"},
	{"cpu_shares", Live, "a limit of the cgroup"},
	{"cpu_period", Live, "a limit of the cgroup"},
	{"cpu_quota", Live, "a limit of the cgroup"},
	{"cpuset", Live, "a limit of the cgroup"},
	{"pids_limit", Live, "a limit of the cgroup"},
	{"blkio_weight", Live, "a limit of the cgroup"},
	{"blkio_weight_device", Live, "a limit of the cgroup"},
	{"device_read_bps", Live, "a limit of the cgroup"},
	{"device_write_bps", Live, "a limit of the cgroup"},
	{"device_read_iops", Live, "a limit of the cgroup"},
	{"device_write_iops", Live, "a limit of the cgroup"},
	{"systemd.scope.", Live, "directives of the cgroup"},
	{"systemd.unit.", Live, "systemd heeds it from the reload on"},
	{"systemd.install.", Live, "links that a reload makes"},
	{"systemd.timer.", Live, "another unit"},
	{"restart.", Live, "systemd heeds it when the payload ends"},
	{"stop_signal", Live, "systemd sends it at the next stop"},
	{"stop_grace_period", Live, "systemd heeds it at the next stop"},
	{"depends_on", Live, "an order of starts and stops to come"},
	{"profiles", Live, "who starts it, not what it is"},
	{"active", Live, "who starts it, not what it is"},
	{"replicas", Live, "who starts it, not what it is"},
	{"update_config.", Live, "for the next change"},
	{"x_wait_for", Live, "for the next start"},
	{"pull_policy", Live, "for the next start"},
	{"pull_refresh_after", Live, "for the next start"},
	{"image", Recreate, "other files"},
	{"rootfs", Recreate, "other files"},
	{"bundle", Recreate, "other files"},
	{"platform", Recreate, "other files"},
	{"userns_mode", Recreate, "other ids"},
}

// matches heeds the key without what tells its items apart.
func (r row) matches(field string) bool {
	key, _, _ := strings.Cut(field, "[")
	return key == r.key || strings.HasSuffix(r.key, ".") && strings.HasPrefix(key, r.key)
}

func effortOf(field string) Effort {
	for _, r := range rows {
		if r.matches(field) {
			return r.effort
		}
	}
	return Restart
}

// Most is the effort that a list of changes takes; "" for none.
func Most(list []Change) Effort {
	most := -1
	for _, c := range list {
		most = max(most, slices.Index(order, c.Effort))
	}
	if most < 0 {
		return ""
	}
	return order[most]
}

// Compare gives what differs, in byte order of the fields.
func Compare(running, file *definition.Service) ([]Change, error) {
	was, err := flatten(running)
	if err != nil {
		return nil, err
	}
	is, err := flatten(file)
	if err != nil {
		return nil, err
	}
	fields := slices.Sorted(maps.Keys(was))
	for field := range is {
		if _, ok := was[field]; !ok {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	var list []Change
	for _, field := range fields {
		if was[field] != is[field] {
			list = append(list, Change{Field: field, Running: was[field], File: is[field], Effort: effortOf(field)})
		}
	}
	return list, nil
}

// notCompared are no wishes of the operator: where it stands, what it is called. Of
// files with variables, what they give is compared.
var notCompared = []string{"name", "instance", "source", "project", "key", "own_variables", "variables"}

// flatten makes a list of fields of a definition, by way of its JSON form: so
// no field can be forgotten here.
func flatten(s *definition.Service) (map[string]string, error) {
	data := (&definition.Resolved{Service: s}).AppendJSON(nil)
	var all struct{ Service map[string]any }
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("reading a definition's own JSON: %w", err)
	}
	for _, key := range notCompared {
		delete(all.Service, key)
	}
	fields := map[string]string{}
	for key, value := range all.Service {
		if key == "resources" {
			key = "" // Compose has the limits at the top
		}
		add(fields, key, value)
	}
	return fields, nil
}

func add(fields map[string]string, path string, value any) {
	switch v := value.(type) {
	case nil:
	case map[string]any:
		for key, item := range v {
			if path != "" {
				key = path + "." + key
			}
			add(fields, key, item)
		}
	case []any:
		addList(fields, path, v)
	case string:
		fields[path] = v
	case float64:
		fields[path] = human(path, v)
	default:
		fields[path] = compact(v)
	}
}

// identities are the fields by which items of a list are the same ones.
var identities = []string{"name", "key", "target", "network", "service", "path"}

// addList tells items apart by what names them. Others are compared as a whole.
func addList(fields map[string]string, path string, list []any) {
	for _, item := range list {
		m, isMap := item.(map[string]any)
		id := ""
		for _, key := range identities {
			if text, ok := m[key]; ok && isMap {
				id = fmt.Sprint(text)
				break
			}
		}
		if id == "" {
			fields[path] = compact(list)
			return
		}
	}
	for _, item := range list {
		m := item.(map[string]any)
		field := path
		for _, key := range identities {
			text, ok := m[key]
			if !ok {
				continue
			}
			if strings.HasPrefix(path, "systemd.") {
				field += "." + fmt.Sprint(text)
			} else {
				field += "[" + fmt.Sprint(text) + "]"
			}
			delete(m, key)
			break
		}
		text := compact(m)
		if value, ok := m["value"]; ok && len(m) == 1 {
			text = fmt.Sprint(value)
			if value == nil {
				text = "unset"
			}
		}
		if text == "" {
			text = `""` // there, and empty
		}
		// A directive may be given again.
		if before, ok := fields[field]; ok {
			text = before + ", " + text
		}
		fields[field] = text
	}
}

func compact(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
