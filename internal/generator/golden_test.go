// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"strings"
	"testing"
	"time"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
)

func directive(name, value string) definition.Directive {
	return definition.Directive{Name: name, Value: value}
}

func install(list ...definition.Directive) definition.System {
	return definition.System{Install: list}
}

// named is a volume of the project "shop".
func named(key string, options ...definition.KeyValue) definition.Volume {
	name := "shop_" + key
	return definition.Volume{Type: definition.VolumeNamed, Source: name, Target: "/" + key, Declared: &definition.NamedVolume{Key: key, Name: name, Options: options}}
}

// Each row becomes testdata/NAME.txt: the whole output of one definition file.
var goldenCases = []struct {
	name, file string
	definition definition.File
}{
	{"minimal", "web", one(definition.Service{RootFS: "/srv/web", Command: []string{"/bin/true"}})},
	{"full", "web", one(definition.Service{
		RootFS: "host", Command: []string{"/bin/true"},
		Volumes: []definition.Volume{
			{Type: definition.VolumeBind, Source: "/srv/my data", Target: "/data"},
			{Type: definition.VolumeBind, Source: "/srv/100%", Target: "/percent"},
			{Type: definition.VolumeBind, Source: "/srv/my data", Target: "/again"},
			{Type: definition.VolumeBind, Source: "/srv/a\x01b", Target: "/odd"},
			{Type: definition.VolumeNamed, Source: "db", Target: "/db"},
			{Type: definition.VolumeTmpfs, Target: "/tmp"},
		},
		EnvFiles:        []definition.EnvFile{{Path: "/etc/web.env"}},
		StopSignal:      "SIGQUIT",
		StopGracePeriod: 90 * time.Second,
		Restart:         definition.Restart{Policy: definition.RestartAlways},
		Labels:          []definition.KeyValue{{Key: "a", Value: "b"}, {Key: "org.opencontainers.image.description", Value: "The 100% shop\nand more"}},
		System: definition.System{
			Unit:    []definition.Directive{directive("After", "network.target"), directive("Description", "Mine")},
			Service: []definition.Directive{directive("RestartSec", "5s"), directive("LogRateLimitIntervalSec", "0")},
			Slice:   "shop.slice",
		}})},
	{"cgroup-service", "web", one(definition.Service{
		RootFS:    "/srv/web",
		Resources: definition.Resources{MemLimit: 64 << 20, CPUs: 0.5, CPUShares: 512},
		Devices:   []definition.Device{{Source: "/dev/fuse", Target: "/dev/fuse", Permissions: "rw"}},
		System:    definition.System{Cgroup: definition.CgroupService, Scope: []definition.Directive{directive("MemoryHigh", "48M")}}})},
	{"no-traces", "web", one(definition.Service{RootFS: "/srv/web", NetworkMode: "none", Restart: definition.Restart{Policy: definition.RestartAlways},
		System: definition.System{Unit: []definition.Directive{directive("OnFailure", "mail@%n.service")}}})},
	{"no-traces-template", "worker@", one(definition.Service{RootFS: "/srv/web", NetworkMode: "none"})},
	{"image", "web", one(definition.Service{Image: "docker.io/library/nginx:1", StopGracePeriod: 1500 * time.Millisecond})},
	{"image-policies", "shop", definition.File{Project: true, Services: []definition.Service{
		{Name: "shop-a", Project: "shop", Image: "nginx", PullPolicy: "always"},
		{Name: "shop-b", Project: "shop", Image: "nginx", PullPolicy: "every_12h", Platform: "linux/riscv64"},
		{Name: "shop-c", Project: "shop", Image: "nginx", PullPolicy: "never"},
		{Name: "shop-d", Project: "shop", Image: "nginx", PullPolicy: "refresh", PullRefreshAfter: 90 * time.Minute},
		{Name: "shop-e", Project: "shop", Image: "nginx@sha256:" + strings.Repeat("a", 64), PullPolicy: "always"}}}},
	{"image-platforms", "shop", definition.File{Project: true, Services: []definition.Service{
		{Name: "shop-a", Project: "shop", Image: "nginx", Platform: "riscv64"}, {Name: "shop-b", Project: "shop", Image: "nginx"}}}},
	{"image-mount", "web", one(definition.Service{RootFS: "/srv/web", Volumes: []definition.Volume{
		{Type: definition.VolumeImage, Source: "localhost/assets:1", Target: "/a"}, {Type: definition.VolumeImage, Source: "localhost/assets:1", Target: "/b"}}})},
	{"wait-for", "web", one(definition.Service{RootFS: "/srv/web", WaitFor: []string{"dns:db.example.com", "path:/mnt/a $b%c"}})},
	{"idle", "web", one(definition.Service{RootFS: "/srv/web", IdleTimeout: 15 * time.Minute,
		Ports: []definition.Port{{Target: 80, Published: 8080, Protocol: "tcp", Activation: true}}})},
	{"wait-for-template", "web@", one(definition.Service{RootFS: "/srv/web", WaitFor: []string{"path:/mnt/%i/100%%"}})},
	{"update", "web", one(definition.Service{Image: "nginx", Update: "registry", PullPolicy: "always"})},
	{"hooks", "web", one(definition.Service{RootFS: "/srv/web",
		PostStart: []definition.Hook{{Command: []string{"/prepare"}}}, PreStop: []definition.Hook{{Command: []string{"/drain"}}}})},
	{"activation", "shop", definition.File{Project: true, Services: []definition.Service{{Name: "shop-web", Project: "shop", RootFS: "/srv/web", Ports: []definition.Port{
		{Published: 8080, Target: 80, Protocol: "tcp", Activation: true}, {HostIP: "::1", Published: 8081, Target: 80, Protocol: "tcp", Activation: true},
		{Published: 8443, Target: 443, Protocol: "tcp", Activation: true}, {HostIP: "::", Published: 9443, Target: 443, Protocol: "tcp", Activation: true},
		{Published: 9000, Target: 9000, Protocol: "tcp"}}}}}},
	{"kill-at-once", "web", one(definition.Service{RootFS: "/srv/web", StopGracePeriod: 1})},
	{"kill-at-once-bundle", "web", one(definition.Service{Bundle: "/srv/web", StopGracePeriod: 1})},
	{"realtime-signal", "web", one(definition.Service{RootFS: "/srv/web", StopSignal: "SIGRTMIN+3"})},
	{"restart-by-systemd", "web", one(definition.Service{RootFS: "/srv/web", System: definition.System{Service: []definition.Directive{directive("Restart", "on-abnormal")}}})},
	{"on-failure", "web", one(definition.Service{RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartOnFailure}})},
	{"on-failure-3", "web", one(definition.Service{RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartOnFailure, MaxRetries: 3}})},
	{"on-failure-in-window", "web", one(definition.Service{RootFS: "/srv/web", Restart: definition.Restart{
		Policy: definition.RestartOnFailure, MaxRetries: 2, Delay: 1500 * time.Millisecond, Window: time.Minute}})},
	{"template", "worker@", one(definition.Service{RootFS: "/srv/%i/50%%", Restart: definition.Restart{Policy: definition.RestartAlways}})},
	{"template-default-instance", "worker@", one(definition.Service{
		RootFS: "/srv/w", Restart: definition.Restart{Policy: definition.RestartAlways}, System: install(directive("DefaultInstance", "a"))})},
	{"install", "web", one(definition.Service{RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartAlways}, System: install(
		directive("WantedBy", "graphical.target lost.target"), directive("WantedBy", ""), directive("WantedBy", "shop.target %p.target"),
		directive("RequiredBy", "a@1.service"), directive("UpheldBy", "b.target"), directive("Alias", "www.service %n"))})},
	{"install-never", "web", one(definition.Service{RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartAlways}, System: install(directive("WantedBy", ""))})},
	{"install-outside", "web", one(definition.Service{RootFS: "/srv/web", System: install(
		directive("WantedBy", "../../x.target"), directive("RequiredBy", "/etc/x.target"), directive("Alias", "../x.service a.target x@.service"), directive("Also", "y.service"))})},
	{"value-of-two-lines", "web", one(definition.Service{RootFS: "/srv/web", System: definition.System{
		Service: []definition.Directive{directive("Nice", "1\nExecStartPost=/bin/touch /x")}}})},
	{"broken", "web", definition.File{
		Services: []definition.Service{{RootFS: "/srv/web", StopGracePeriod: time.Minute, Restart: definition.Restart{Policy: definition.RestartAlways},
			System: definition.System{Slice: "shop.slice", Service: []definition.Directive{directive("RestartSec", "5s")}}}},
		Problems: diag.List{
			{File: "/etc/unitc/web.yaml", Line: 7, Col: 1, What: "unknown key", Cure: "did you mean comand?", Path: "command"},
			{File: "/etc/unitc/web.yaml", Line: 2, Col: 3, Severity: diag.Warning, What: "odd"},
			{File: "/etc/unitc/web.yaml", Line: 3, Col: 5, What: "wrong type", Path: "cpus"}}}},
	{"undecoded", "web", definition.File{Problems: diag.List{{File: "/etc/unitc/web.yaml", Line: 1, Col: 2, What: "no YAML"}}}},
	{"no-service", "web", definition.File{}},
	{"project", "blog", definition.File{Project: true, Services: []definition.Service{
		{Name: "blog-web", Project: "blog", RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartAlways}, DependsOn: []definition.Dependency{
			{Service: "blog-db", Condition: definition.ServiceHealthy, Restart: true},
			{Service: "blog-cache", Condition: definition.ServiceStarted},
			{Service: "blog-job", Condition: definition.ServiceCompleted, Optional: true},
			{Service: "blog-debug", Condition: definition.ServiceHealthy, Optional: true},
			{Service: "blog-none", Condition: definition.ServiceStarted}}},
		{Name: "blog-db", Project: "blog", RootFS: "/srv/db", StopSignal: "SIGINT",
			System: definition.System{Probe: &definition.Probe{Kind: definition.ProbeTCP, Target: "5432"}}},
		{Name: "blog-cache", Project: "blog", RootFS: "/srv/db"},
		{Name: "blog-job", Project: "blog", RootFS: "/srv/db", AwaitedCompletion: true},
		{Name: "blog-debug", Project: "blog", RootFS: "/srv/db", Profiles: []string{"x"}, Restart: definition.Restart{Policy: definition.RestartAlways}},
		{Name: "blog-extra", Project: "blog", RootFS: "/srv/db", Profiles: []string{"y"}, Active: true},
		{Name: "blog-none", Project: "blog", RootFS: "/srv/db", Replicas: new(int)}}}},
	{"volumes", "shop", definition.File{Project: true, Services: []definition.Service{
		{Name: "shop-web", Project: "shop", RootFS: "/srv/web", Volumes: []definition.Volume{
			named("data"), named("bind", definition.KeyValue{Key: "type", Value: "none"}, definition.KeyValue{Key: "o", Value: "bind"}, definition.KeyValue{Key: "device", Value: "/srv/a b"}),
			named("nfs", definition.KeyValue{Key: "type", Value: "nfs4"}, definition.KeyValue{Key: "o", Value: "addr=fd00::1,rw"}, definition.KeyValue{Key: "device", Value: ":/export"}),
			{Type: definition.VolumeNamed, Target: "/anonymous"}}},
		{Name: "shop-db", Project: "shop", RootFS: "/srv/db", Volumes: []definition.Volume{
			named("data"), named("memory", definition.KeyValue{Key: "type", Value: "tmpfs"})}}}}},
	{"template-volume", "worker@", one(definition.Service{RootFS: "/srv/w", Volumes: []definition.Volume{{Type: definition.VolumeNamed, Source: "data-%i", Target: "/data"}}})},
	{"timer", "backup", one(definition.Service{RootFS: "/srv/web", System: definition.System{Timer: []definition.Directive{directive("OnCalendar", "daily"), directive("Persistent", "yes")}}})},
	{"timer-of-project", "blog", definition.File{Project: true, Services: []definition.Service{
		{Name: "blog-job", Project: "blog", RootFS: "/srv/job", System: definition.System{Timer: []definition.Directive{directive("OnCalendar", "daily")}}},
		{Name: "blog-other", Project: "blog", RootFS: "/srv/job", Profiles: []string{"other"}, System: definition.System{Timer: []definition.Directive{directive("OnCalendar", "daily")}}},
		{Name: "blog-web", Project: "blog", RootFS: "/srv/web", System: definition.System{Socket: []definition.Directive{directive("ListenStream", "80")}}}}}},
	{"timer-of-two-lines", "backup", one(definition.Service{RootFS: "/srv/web", System: definition.System{Timer: []definition.Directive{directive("OnCalendar", "a\nb")}}})},
	{"socket", "web", one(definition.Service{RootFS: "/srv/web", System: definition.System{Socket: []definition.Directive{directive("ListenStream", "80")}}})},
	{"warning", "web", definition.File{Services: []definition.Service{{RootFS: "/srv/web"}}, Problems: diag.List{{File: "/etc/unitc/web.yaml", Severity: diag.Warning, What: "odd"}}}},
	{"fault-of-one", "shop", definition.File{Project: true,
		Services: []definition.Service{
			{Name: "shop-db", Key: "db", Project: "shop", RootFS: "/srv/db", Restart: definition.Restart{Policy: definition.RestartAlways}},
			{Name: "shop-web", Key: "web", Project: "shop", RootFS: "/srv/web", Restart: definition.Restart{Policy: definition.RestartAlways},
				DependsOn: []definition.Dependency{{Service: "shop-db", Condition: definition.ServiceStarted}}, System: definition.System{Timer: []definition.Directive{directive("OnCalendar", "daily")}}}},
		Networks: []definition.Network{{Key: "default", Name: "shop_default"}},
		Problems: diag.List{{File: "/etc/unitc/shop.yaml", Line: 4, Col: 5, Severity: diag.Error, Path: "services.web.imagee", What: "unknown key", Of: []string{"web"}}}}},
	{"device-rule", "web", one(definition.Service{RootFS: "/srv/web", DeviceCgroupRules: []string{"c *:3 r"}})},
}

func TestGoldenTrees(t *testing.T) {
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t, map[string]string{"etc/unitc/" + c.file + ".yaml": ""})
			tree := h.run(files(map[string]definition.File{c.file: c.definition}))
			golden(t, c.name, tree+"== log\n"+h.log.String())
		})
	}
}
