// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// whole is a configuration with something of everything, so that each part can
// be broken.
const whole = `{"ociVersion": "1.3.0", "root": {"path": "rootfs", "readonly": true}, "hostname": "box", "domainname": "example.org",
	"process": {"terminal": false, "consoleSize": {"height": 1, "width": 1}, "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3]}, "args": ["sh"], "env": ["A=b"], "cwd": "/",
		"capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"], "inheritable": [], "ambient": []},
		"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}], "noNewPrivileges": true, "oomScoreAdj": 5,
		"scheduler": {"policy": "SCHED_OTHER", "nice": 1}, "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0}},
	"mounts": [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"], "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}]}],
	"hooks": {"createRuntime": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]},
	"annotations": {"key": "value"},
	"linux": {"namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount", "path": "/proc/1/ns/mnt"}, {"type": "uts"}, {"type": "user"}, {"type": "time"}],
		"uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 1}},
		"devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0}], "cgroupsPath": "/x", "sysctl": {"net.ipv4.ip_forward": "1"},
		"resources": {"devices": [{"allow": false, "type": "a", "major": 1, "minor": 1, "access": "rwm"}], "memory": {"limit": 5, "swap": 9, "reservation": 3},
			"cpu": {"shares": 5, "quota": 5, "period": 5, "burst": 0, "cpus": "0", "mems": "0"}, "pids": {"limit": 5}, "blockIO": {"weight": 10},
			"hugepageLimits": [{"pageSize": "2MB", "limit": 5}], "unified": {"memory.high": "5"}},
		"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
		"rootfsPropagation": "rprivate", "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "mountLabel": "x",
		"intelRdt": {"closID": "x"}, "personality": {"domain": "LINUX"}, "netDevices": {"eth7": {"name": "x"}}}}`

func reads(t *testing.T, config string) error {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/rootfs", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/config.json", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Read(dir, nil)
	return err
}

func TestWholeIsRead(t *testing.T) {
	if err := reads(t, whole); err != nil {
		t.Fatal(err)
	}
}

// Every value in turn becomes one of every other type.
func TestWrongTypes(t *testing.T) {
	tried := 0
	var walk func(at any, path string, set func(any))
	var top any
	walk = func(at any, path string, set func(any)) {
		for _, other := range []any{"text", 1.5, true, []any{}, map[string]any{}} {
			if sameType(at, other) {
				continue
			}
			set(other)
			tried++
			config, err := json.Marshal(top)
			if err != nil {
				t.Fatal(err)
			}
			if err := reads(t, string(config)); err == nil || !strings.HasPrefix(err.Error(), "config.json: ") {
				t.Errorf("%s as %T: %v", path, other, err)
			}
			set(at)
		}
		switch at := at.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(at)) {
				walk(at[key], path+"."+key, func(v any) { at[key] = v })
			}
		case []any:
			for i := range at {
				walk(at[i], fmt.Sprintf("%s[%d]", path, i), func(v any) { at[i] = v })
			}
		}
	}
	if err := json.Unmarshal([]byte(whole), &top); err != nil {
		t.Fatal(err)
	}
	walk(top, "", func(v any) { top = v })
	if tried < 500 {
		t.Errorf("only %d values were tried", tried)
	}
}

// sameType: 1.5 is a number and no integer, and so it is none of any here.
func sameType(a, b any) bool {
	switch a.(type) {
	case string:
		_, same := b.(string)
		return same
	case bool:
		_, same := b.(bool)
		return same
	case map[string]any:
		_, same := b.(map[string]any)
		return same
	case []any:
		_, same := b.([]any)
		return same
	}
	return false
}

// A file that ends early is never a configuration.
func TestTruncated(t *testing.T) {
	for n := range len(whole) {
		if err := reads(t, whole[:n]); err == nil || !strings.HasPrefix(err.Error(), "config.json: ") {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestBroken(t *testing.T) {
	for config, want := range map[string]string{
		strings.Replace(whole, "1.3.0", "2.0.0", 1):                                                              `ociVersion "2.0.0" is not supported`,
		strings.Replace(whole, "1.3.0", "", 1):                                                                   `ociVersion "" is not a version`,
		strings.Replace(whole, "1.3.0", "1.3", 1):                                                                `is not a version`,
		strings.Replace(whole, "1.3.0", "-1.3.0", 1):                                                             `is not a version`,
		strings.Replace(whole, "1.3.0", "01.3.0", 1):                                                             `is not a version`,
		strings.Replace(whole, "1.3.0", "1.3.0-", 1):                                                             `is not a version`,
		strings.Replace(whole, "1.3.0", "1.3.0-rc.01", 1):                                                        `is not a version`,
		strings.Replace(whole, "1.3.0", "1.3.0+a_b", 1):                                                          `is not a version`,
		strings.Replace(whole, `"/bin/true"`, `"bin/true"`, 1):                                                   `hooks.createRuntime[0]: path "bin/true" is not absolute`,
		strings.Replace(whole, `"createRuntime": [{"path": "/bin`, `"poststop": [{"path": "bin`, 1):              `hooks.poststop[0]: path "bin/true" is not absolute`,
		strings.Replace(whole, `"createRuntime"`, `"poststart": [{"path": ""}], "createRuntime"`, 1):             `hooks.poststart[0]: path "" is not absolute`,
		strings.Replace(whole, `"A=b"`, "\"A=\xff\"", 1):                                                         "not UTF-8",
		strings.Replace(whole, `"timeout": 5`, `"timeout": 0`, 1):                                                "timeout 0 is not above zero",
		strings.Replace(whole, `"key": "value"`, `"": "value"`, 1):                                               "annotations: a key is empty",
		strings.Replace(whole, `"key": "value"`, `"key": 5`, 1):                                                  "config.json: ",
		strings.Replace(whole, `["/proc/kcore"]`, `["proc/kcore"]`, 1):                                           "linux.maskedPaths[0]",
		strings.Replace(whole, `["/proc/sys"]`, `["proc/sys"]`, 1):                                               "linux.readonlyPaths[0]",
		strings.Replace(whole, `"path": "/dev/x"`, `"path": ""`, 1):                                              "names no device",
		strings.Replace(whole, `"major": 1, "minor": 3`, `"major": 4294967297, "minor": 3`, 1):                   "there is no device 4294967297:3",
		strings.Replace(whole, `"major": 1, "minor": 3`, `"major": 1, "minor": -3`, 1):                           "there is no device 1:-3",
		strings.Replace(whole, `{"type": "time"}`, `{"type": "time", "path": "/proc/1/ns/time"}`, 1):             "is joined, and has its offsets",
		strings.Replace(whole, `"monotonic"`, `"realtime"`, 1):                                                   "is not a clock",
		strings.Replace(whole, `"root": {"path": "rootfs", "readonly": true}, `, "", 1):                          "root.path is missing",
		strings.Replace(whole, `"path": "rootfs"`, `"path": ""`, 1):                                              "root.path is missing",
		strings.Replace(whole, `"path": "rootfs"`, `"path": "nowhere"`, 1):                                       "invalid rootfs",
		strings.Replace(whole, `"path": "rootfs"`, `"path": "config.json"`, 1):                                   "is not a directory",
		strings.Replace(whole, `"cwd": "/"`, `"cwd": "tmp"`, 1):                                                  "Cwd must be an absolute path",
		strings.Replace(whole, `"cwd": "/"`, `"cwd": ""`, 1):                                                     "Cwd property must not be empty",
		strings.Replace(whole, `"args": ["sh"]`, `"args": []`, 1):                                                "args must not be empty",
		strings.Replace(whole, `"args": ["sh"]`, `"args": [""]`, 1):                                              "process.args[0] is empty",
		strings.Replace(whole, `"args": ["sh"]`, `"args": ["s\u0000h"]`, 1):                                      "a string has a NUL byte",
		strings.Replace(whole, `"uid": 1`, `"uid": -1`, 1):                                                       "config.json: ",
		strings.Replace(whole, `"uid": 1`, `"uid": 4294967296`, 1):                                               "config.json: ",
		strings.Replace(whole, `"umask": 18`, `"umask": 512`, 1):                                                 "process.user.umask 01000 is not from 0 to 0777",
		strings.Replace(whole, `"oomScoreAdj": 5`, `"oomScoreAdj": 1001`, 1):                                     "is not from -1000 to 1000",
		strings.Replace(whole, `"soft": 1`, `"soft": 3`, 1):                                                      "is above the hard one",
		strings.Replace(whole, `{"type": "pid"}`, `{"type": "pid"}, {"type": "pid"}`, 1):                         "duplicated ns",
		strings.Replace(whole, `{"type": "pid"}`, `{"type": "pit"}`, 1):                                          "does not exist",
		strings.Replace(whole, `/proc/1/ns/mnt`, `proc/1/ns/mnt`, 1):                                             "is not absolute",
		strings.Replace(whole, `{"type": "user"}, `, "", 1):                                                      "user namespace isn't enabled",
		strings.Replace(whole, `, {"type": "time"}`, "", 1):                                                      "time namespace isn't enabled",
		strings.Replace(whole, `{"type": "uts"}, `, "", 1):                                                       "without a private UTS namespace",
		strings.Replace(whole, `"destination": "/proc"`, `"destination": ""`, 1):                                 "destination is empty",
		strings.Replace(whole, `"eth7"`, `"../eth7"`, 1):                                                         "is no name of a device",
		strings.Replace(whole, `net.ipv4.ip_forward`, `kernel.core_pattern`, 1):                                  "is not in a separate kernel namespace",
		strings.Replace(whole, `"linux":`, `"windows": {"layerFolders": ["x"]}, "linux":`, 1):                    "another platform",
		strings.Replace(whole, `"rlimits": [`, `"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}, `, 1): "is there twice",
		whole[:strings.Index(whole, `"process"`)] + whole[strings.Index(whole, `"mounts"`):]:                     ErrNoProcess.Error(),
		"{}": "is not a version", "null": "is not a version", whole + "x": "config.json: ",
	} {
		if config == whole {
			t.Fatalf("nothing is broken for %q", want)
		}
		if err := reads(t, config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if _, err := Read(t.TempDir(), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no config.json: %v", err)
	}
}

// Versions that SemVer 2.0.0 has, of this major number.
func TestVersions(t *testing.T) {
	for _, v := range []string{"1.0.0", "1.0.2-dev", "1.0.0-rc5", "1.2.0-rc.1+dev.7", "1.3.0+001", "1.99.0"} {
		if err := CheckVersion(v); err != nil {
			t.Error(err)
		}
	}
}

// What a runtime does not know it passes over (config.md, "Extensibility").
func TestUnknownPropertiesAndAnnotations(t *testing.T) {
	for _, config := range []string{
		strings.Replace(whole, `"rootfsPropagation"`, `"futureSetting": {"a": [1]}, "rootfsPropagation"`, 1),
		strings.Replace(whole, `"annotations"`, `"future": null, "annotations"`, 1),
		strings.Replace(whole, `"key": "value"`, `"org.opencontainers.nobody": "", "key": "value"`, 1),
	} {
		if err := reads(t, config); err != nil || config == whole {
			t.Error(err)
		}
	}
}

// All that is wrong is said at once.
func TestAllFaults(t *testing.T) {
	config := strings.NewReplacer(`"cwd": "/"`, `"cwd": "tmp"`, `"args": ["sh"]`, `"args": []`, `{"type": "pid"}`, `{"type": "pit"}`).Replace(whole)
	err := reads(t, config)
	for _, want := range []string{"Cwd must be", "args must not", "does not exist"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// What a scope is told is what its files will hold.
func TestAllScopeProperties(t *testing.T) {
	for text, want := range map[string]string{
		`{"memory": {"limit": 64, "swap": 96}}`:                  "MemoryMax=64 MemorySwapMax=32",
		`{"memory": {"limit": 64, "swap": 64}}`:                  "MemoryMax=64 MemorySwapMax=0",
		`{"memory": {"limit": -1, "swap": -1}}`:                  "MemoryMax=infinity MemorySwapMax=infinity",
		`{"cpu": {"quota": -1, "period": 50000}}`:                "CPUQuota=infinity",
		`{"cpu": {"quota": 50000, "period": 200000}}`:            "CPUQuotaPeriodSec=200000us CPUQuota=25.0000%",
		`{"blockIO": {"weight": 505}}`:                           "IOWeight=5000",
		`{"unified": {"memory.high": "5m\n", "a.b": "1"}}`:       "MemoryHigh=5M",
		`{"unified": {"pids.max": "max", "memory.low": "0x10"}}`: "TasksMax=infinity",
	} {
		var r specs.LinuxResources
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, d := range AllScopeProperties(&r) {
			words = append(words, d.Name+"="+d.Value)
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s gives %q, want %q", text, got, want)
		}
	}
}

// What a scope is told of devices, and what it cannot be: a rule that it would not
// take must not be passed over.
func TestDeviceRulesOfAScope(t *testing.T) {
	for text, want := range map[string]string{
		`[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]`: "c 10:229 rw",
		`[{"allow": true, "type": "c", "major": 10, "minor": 229}]`:                                                    "c 10:229 rwm",
		`[{"allow": true, "type": "b", "major": 8, "minor": -1, "access": "r"}, {"allow": true}]`:                      "b 8:* r, a *:* rwm",
		`[{"allow": true, "type": "c", "major": 10, "access": "r"}, {"allow": false}]`:                                 "",
		`[{"allow": true, "type": "x", "access": "r"}]`:                                                                `linux.resources.devices[0]: unknown type "x"`,
		`[{"allow": false}, {"allow": true, "type": "c", "access": "z"}]`:                                              `linux.resources.devices[1]: unknown access "z"`,
		`[{"allow": true, "type": "c", "major": 10, "minor": 10485760}]`:                                               "linux.resources.devices[0]: there is no device 10:10485760",
		`[{"allow": true, "type": "c", "minor": 3}]`:                                                                   "linux.resources.devices[0]: minor number 3 of every driver",
		`[{"allow": true, "type": "c", "major": 10}, {"allow": false, "type": "c", "major": 10, "minor": 3}]`:          "denying one device",
	} {
		var r specs.LinuxResources
		if err := json.Unmarshal([]byte(`{"devices": `+text+`}`), &r); err != nil {
			t.Fatal(err)
		}
		rules, err := DeviceRules(&r)
		got := strings.Join(rules, ", ")
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && got != want || err != nil && want == "" {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}
