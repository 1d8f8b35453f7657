// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the manual and the golden files anew")

// The tables are what the manual says.
func TestManual(t *testing.T) {
	const manual = "../../../docs/man/unitc-convert.1.md"
	data, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	const first, last = "# WHAT BECOMES OF KEYS OF QUADLET\n", "\n# SEE ALSO\n"
	before, rest, ok := strings.Cut(string(data), first)
	section, after, ends := strings.Cut(rest, last)
	if !ok || !ends {
		t.Fatal("unitc-convert(1) has no tables, or nothing behind them")
	}
	want := strings.TrimPrefix(Manual(), first)
	if *update {
		if err := os.WriteFile(manual, []byte(before+first+want+last+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, section); diff != "" {
		t.Errorf("%s (-want +got):\n%s", manual, diff)
	}
}

// podmanKeys are those that Podman 6 knows (pkg/systemd/quadlet), and so all of
// podman-systemd.unit(5) of 5.x.
var podmanKeys = map[string]string{
	"Container": `AddCapability AddDevice AddHost Annotation AppArmor AutoUpdate CgroupsMode ContainerName ContainersConfModule DNS DNSOption DNSSearch DropCapability
		Entrypoint Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort GIDMap GlobalArgs Group GroupAdd HealthCmd HealthInterval HealthLogDestination
		HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd HealthStartupInterval HealthStartupRetries HealthStartupSuccess
		HealthStartupTimeout HealthTimeout HostName HttpProxy IP IP6 Image Label LogDriver LogOpt Mask Memory Mount Network NetworkAlias NoNewPrivileges Notify PidsLimit Pod
		PodmanArgs PublishPort Pull ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal RemapGid RemapUid RemapUidSize RemapUsers Retry RetryDelay Rootfs RunInit SeccompProfile
		Secret SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelNested SecurityLabelType ServiceName ShmSize StartWithPod StopSignal StopTimeout
		SubGIDMap SubUIDMap Sysctl Timezone Tmpfs UIDMap Ulimit Unmask User UserNS VolatileTmp Volume WorkingDir`,
	"Pod": `AddHost ContainersConfModule DNS DNSOption DNSSearch ExitPolicy GIDMap GlobalArgs HostName IP IP6 Label Network NetworkAlias PodName PodmanArgs PublishPort
		RemapGid RemapUid RemapUidSize RemapUsers ServiceName ShmSize StopTimeout SubGIDMap SubUIDMap UIDMap UserNS Volume`,
	"Kube": `AutoUpdate ConfigMap ContainersConfModule ExitCodePropagation GlobalArgs KubeDownForce LogDriver LogOpt Network PodmanArgs PublishPort RemapGid RemapUid RemapUidSize
		RemapUsers ServiceName SetWorkingDirectory UserNS Yaml`,
	"Network": `ContainersConfModule DNS DisableDNS Driver Gateway GlobalArgs IPAMDriver IPRange IPv6 InterfaceName Internal Label NetworkDeleteOnStop NetworkName Options
		PodmanArgs ServiceName Subnet`,
	"Volume": `ContainersConfModule Copy Device Driver GID GlobalArgs Group Image Label Options PodmanArgs ServiceName Type UID User VolumeName`,
	"Image": `AllTags Arch AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs Image ImageTag OS PodmanArgs Policy Retry RetryDelay ServiceName
		TLSVerify Variant`,
	"Build": `Annotation Arch AuthFile BuildArg ContainersConfModule DNS DNSOption DNSSearch Environment File ForceRM GlobalArgs GroupAdd IgnoreFile ImageTag Label Network
		PodmanArgs Pull Retry RetryDelay Secret ServiceName SetWorkingDirectory Target TLSVerify Variant Volume`,
}

// Every key of Podman's has a row that says what becomes of it, and no other has.
func TestEveryKeyHasARow(t *testing.T) {
	tables := map[string][]key{"Container": containerKeys, "Pod": podKeys, "Kube": kubeKeys, "Network": networkKeys, "Volume": volumeKeys, "Image": imageKeys, "Build": buildKeys}
	for kind, names := range podmanKeys {
		var have []string
		for _, row := range tables[kind] {
			have = append(have, row.name)
			if row.becomes == "" {
				t.Errorf("[%s] %s= becomes nothing that is said", kind, row.name)
			}
		}
		want := strings.Fields(names)
		slices.Sort(want)
		slices.Sort(have)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("[%s] (-want +got):\n%s", kind, diff)
		}
	}
}

func TestOptionsAreOneEach(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range options {
		for name := range strings.FieldsSeq(o.name) {
			if seen[name] || seen["-"+o.short] && o.short != "" || o.do == nil || o.becomes == "" {
				t.Errorf("--%s stands twice, or does nothing", name)
			}
			seen[name] = true
		}
		seen["-"+o.short] = true
	}
}
