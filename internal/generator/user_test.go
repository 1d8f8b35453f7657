// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
)

// A user's units call the helper by way of the user's namespace, and ask their systemd
// for nothing that it has not. They clean up by themselves where nothing comes behind.
func TestUserUnits(t *testing.T) {
	for _, unit := range append([]string{"", "journal"}, Behind...) {
		t.Run("without-"+unit, func(t *testing.T) { userUnits(t, unit) })
	}
}

func userUnits(t *testing.T, missing string) {
	run := t.TempDir()
	if err := os.Chmod(run, 0o700); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": "/home/a", "XDG_RUNTIME_DIR": run}
	if err := realm.Become(os.Geteuid(), false, func(name string) string { return env[name] }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(realm.BecomeSystem)
	files := map[string]string{"etc/machine-id": "0123\n", "var/log/journal/0123/user-" + strconv.Itoa(os.Geteuid()) + map[bool]string{false: ".journal"}[missing == "journal"]: "x",
		"home/a/.config/unitc/web.yaml": "x", "usr/lib/systemd/user/taken.service": "x", "etc/unitc/user/taken.yaml": "x", "home/a/.config/unitc/net.yaml": "x", "home/a/.config/unitc/beside.yaml": "x"}
	for _, unit := range Behind {
		if unit != missing {
			files["usr/lib/systemd/user/"+unit] = "x"
		}
	}
	h := newHost(t, files)
	err := Run(Config{Root: h.root, Dirs: realm.Definitions(), OutDir: h.out, Helper: "/h", Report: func(p diag.Problem) { h.log = append(h.log, p) },
		Parse: func(src searchpath.Source) definition.File {
			f := definition.File{Name: src.Name, Path: src.Path, Services: []definition.Service{{Name: src.Name, Source: definition.Source{File: src.Path}, Image: "localhost/box:1",
				Restart: definition.Restart{Policy: definition.RestartAlways}, System: definition.System{Cgroup: definition.CgroupService}}}}
			if src.Name == "net" {
				f.Services[0].Networks, f.Services[0].PreStop = []definition.Attachment{{Network: "front"}}, []definition.Hook{{}}
				f.Networks = []definition.Network{{Key: "front", Name: "front"}}
			}
			if src.Name == "web" {
				f.Services[0].Ports = []definition.Port{{Protocol: "tcp", Target: 80, Published: 8080, Activation: true}}
			}
			if src.Name == "beside" {
				f.Services[0].NetworkMode, f.Services[0].System.Cgroup = "container:net", ""
			}
			f.ForUser()
			return f
		}})
	if err != nil {
		t.Fatal(err)
	}
	tree := dumpTree(t, h.out)
	for _, want := range []string{"ExecStart=/h enter start OUT/.unitc/web.json\n", "ExecStopPost=/h enter clean %N\n", "default.target.wants/web.service", "SourcePath=/home/a/.config/unitc/web.yaml\n",
		"RequiresMountsFor=/home/a/.local/share/unitc\n", " --user pull --policy missing -- localhost/box:1\n", "ConditionPathExists=!/home/a/.local/share/unitc/names/", `"network_mode":"pasta"`, "TasksMax=",
		"unitc-conflict-taken.service",
		"ExecStart=/h enter networks start OUT/.unitc/net.json\n", "ExecStopPost=/h enter networks clean %N\n", "ExecStart=/h enter beside net start OUT/.unitc/beside.json\n", "ExecStop=/h enter pre-stop %N\n",
		"ExecStop=/h enter drain %N\n", "ExecStart=/h enter forward web 80\n", "NoNewPrivileges=yes\nNotifyAccess=all\n", "unitc-port@web:80.socket",
		"Wants=unitc-network.service\nAfter=unitc-network.service\n", `"unitc-network@front.json":{`} {
		if !strings.Contains(tree, want) {
			t.Errorf("there is no %q in\n%s", want, tree)
		}
	}
	const before = "Wants=unitc-sweep-last.service\nAfter=unitc-sweep-last.service\n"
	swept := "OnFailure=unitc-postmortem.service\nOnFailure=unitc-sweep.timer\nOnSuccess=unitc-sweep.timer\n" + before
	if missing != "" {
		swept = "ExecStart=/h enter beside net start OUT/.unitc/beside.json\nExecStopPost=/h enter clean %N\n"
	}
	if !strings.Contains(tree, swept) || strings.Contains(tree, before) != (missing == "") || strings.Count(tree, "OnSuccess=") != strings.Count(swept, "OnSuccess=") {
		t.Errorf("there is not only %q in\n%s", swept, tree)
	}
	for _, no := range []string{"multi-user.target", "DevicePolicy", "DeviceAllow", "/var/lib/unitc", "local-fs.target", "unitc-resolver", "unitc-network@front.service", "systemd-sysctl"} {
		if strings.Contains(tree, no) {
			t.Errorf("there is %q in\n%s", no, tree)
		}
	}
}
