// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"testing"

	"github.com/unitc/unitc/internal/diag"
)

func TestForUser(t *testing.T) {
	f := File{Services: []Service{{RootFS: "host"}}}
	f.ForUser()
	if s := f.Services[0]; s.NetworkMode != "pasta" || s.UsernsMode != "host" || len(f.Problems) > 0 {
		t.Errorf("%+v: %v", s, f.Problems)
	}
	negative, yes := -1, true
	for key, s := range map[string]Service{
		"network_mode":              {NetworkMode: "ns:/run/netns/blue"},
		"pid":                       {PID: "host"},
		"ipc":                       {IPC: "host"},
		"cgroup":                    {Cgroup: "host"},
		"privileged":                {Privileged: true},
		"devices":                   {Devices: []Device{{Source: "/dev/kvm"}}},
		"device_cgroup_rules":       {DeviceCgroupRules: []string{"c 1:3 r"}},
		"bundle":                    {Bundle: "/b"},
		"runtime":                   {Runtime: "crun"},
		"links":                     {Links: []Link{{Service: "db"}}},
		"mac_address":               {MACAddress: "02:00:00:00:00:01"},
		"x-net-devices":             {NetDevices: []KeyValue{{Key: "eth1"}}},
		"x-nftables":                {NFTables: "/x"},
		"x-time-offsets":            {TimeOffsets: &TimeOffsets{}},
		"oom_score_adj":             {OOMScoreAdj: &negative},
		"security_opt":              {SecurityOpt: []string{"apparmor=x"}},
		"volumes[0]":                {Volumes: []Volume{{Type: VolumeBind, IDMap: &yes}}},
		"volumes[1]":                {Volumes: []Volume{{}, {Type: VolumeNamed, Declared: &NamedVolume{Options: []KeyValue{{Key: "type"}}}}}},
		"systemd.scope.DeviceAllow": {System: System{Scope: []Directive{{Name: "DeviceAllow"}}}},
		"systemd.install.WantedBy":  {System: System{Install: []Directive{{Name: "Alias", Value: "x"}, {Name: "WantedBy", Value: "default.target multi-user.target"}}}},
		"systemd.unit.After":        {System: System{Unit: []Directive{{Name: "After", Value: "network-online.target"}}}},
		"systemd.service.User":      {System: System{Service: []Directive{{Name: "User"}}}},
	} {
		f := File{Services: []Service{s}}
		f.ForUser()
		if len(f.Problems) != 1 || f.Problems[0].Path != key || f.Problems[0].What == "" || f.Problems[0].Cure == "" {
			t.Errorf("%s: %v", key, f.Problems)
		}
	}
}

// Services of a project find each other; one alone has nobody to find, unless its file
// says something of the network.
func TestForUserProject(t *testing.T) {
	web := Service{Project: "blog", Networks: []Attachment{{Network: "blog_default"}}}
	network := Network{Key: "default", Name: "blog_default"}
	one := File{Project: true, Services: []Service{web}, Networks: []Network{network}}
	one.ForUser()
	if len(one.Problems) > 0 || one.Services[0].NetworkMode != NetworkPasta || len(one.Services[0].Networks) > 0 || len(one.Networks) > 0 {
		t.Errorf("%+v", one)
	}
	declared := network
	declared.Source.Line, declared.Internal = 3, true
	two := File{Project: true, Services: []Service{web, web}, Networks: []Network{network}}
	for _, f := range []File{two, {Project: true, Services: []Service{web}, Networks: []Network{declared}}} {
		f.ForUser()
		for _, s := range f.Services {
			if len(f.Problems) > 0 || s.NetworkMode != "" || len(s.Networks) != 1 || len(f.Networks) != 1 {
				t.Errorf("%+v", f)
			}
		}
	}
}

// A user's networks are bridges of their own.
func TestForUserNetworks(t *testing.T) {
	for path, n := range map[string]Network{
		"":                                  {Driver: "bridge", Options: []KeyValue{{Key: "mtu", Value: "1400"}}},
		"networks.x.driver":                 {Driver: "macvlan"},
		"networks.x.driver_opts.parent":     {Options: []KeyValue{{Key: "parent", Value: "eth0"}}},
		"networks.x.driver_opts.bridge":     {Options: []KeyValue{{Key: "bridge", Value: "br0"}}},
		"networks.x.driver_opts.masquerade": {Options: []KeyValue{{Key: "masquerade", Value: "false"}}},
	} {
		n.Key = "x"
		f := File{Networks: []Network{n}}
		f.ForUser()
		if path == "" && len(f.Problems) > 0 || path != "" && (len(f.Problems) != 1 || f.Problems[0].Path != path || f.Problems[0].Cure == "") {
			t.Errorf("%q: %v", path, f.Problems)
		}
	}
}

// What one service of a project cannot have keeps the others from nothing, and a fault of
// one does not leave another as root's.
func TestForUserFaults(t *testing.T) {
	f := File{Project: true, Services: []Service{
		{Project: "blog", Key: "a", Networks: []Attachment{{Network: "blog_default"}}},
		{Project: "blog", Key: "b", Privileged: true},
		{Project: "blog", Key: "c", NetworkMode: "none"},
	}, Problems: diag.List{{What: "odd", Of: []string{"a"}}}}
	f.ForUser()
	for i, want := range []bool{true, true, false} {
		if s := &f.Services[i]; f.ProblemsOf(s).HasErrors() != want {
			t.Errorf("%s has errors: %v\n%s", s.Key, !want, f.Problems)
		}
	}
	if c := f.Services[2]; !c.OfUser || c.UsernsMode != "host" {
		t.Errorf("one without a fault is %+v", c)
	}
}
