// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/unitc/unitc/internal/diag"
)

// readObjects converts an archive: the .kube and other Quadlet files in it, with the YAML
// that they name, or else all of its YAML.
func readObjects(archive *txtar.Archive, host Host) *Set {
	host.ReadSource = func(path string) (Source, error) {
		for _, f := range archive.Files {
			name := f.Name
			if !strings.HasPrefix(name, "/") {
				name = "/etc/containers/systemd/" + name
			}
			if name == path {
				return Source{Path: path, Dir: filepath.Dir(path), Data: f.Data}, nil
			}
		}
		return Source{}, os.ErrNotExist
	}
	s := New(host)
	some := false
	for _, f := range archive.Files {
		if IsQuadlet(f.Name) {
			some = true
			s.Add(Source{Path: f.Name, Dir: "/etc/containers/systemd", Data: f.Data})
		}
	}
	for _, f := range archive.Files {
		if !some {
			s.AddKubernetes(Source{Path: f.Name, Dir: "/here", Data: f.Data})
		}
	}
	s.Quadlets()
	s.Kubernetes()
	return s
}

func TestKubernetes(t *testing.T) {
	paths, err := filepath.Glob("testdata/kube/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			host := testHost
			if filepath.Base(path) == "user.txtar" {
				host = userHost
			}
			golden(t, strings.TrimSuffix(path, "txtar")+"golden", repaired(t, readObjects(archive, host)))
		})
	}
}

// A secret is in a file that nobody else can read, and nowhere in the definition.
func TestSecretsOfKubernetes(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/kube/data.txtar")
	if err != nil {
		t.Fatal(err)
	}
	const secret = `p$a "ss"`
	some := 0
	for _, f := range readObjects(archive, testHost).Files() {
		switch has := strings.Contains(string(f.Data), secret) || strings.Contains(string(f.Data), `ss`+`\"`); {
		case has && f.Mode != 0o600:
			t.Errorf("%s with mode %o has the secret:\n%s", f.Name, f.Mode, f.Data)
		case has:
			some++
		}
	}
	if some != 3 { // as a file, among variables, and in a command
		t.Errorf("%d files have the secret", some)
	}
}

// Text that is no YAML is a fault at its line, and so is one without an end.
func TestBadYAML(t *testing.T) {
	for text, want := range map[string]string{
		"kind: Pod\napiVersion: v1\n\tx: y\n":                                            "x.yaml:",
		"kind: Pod\napiVersion: v1\nmetadata: {name: x}\nspec: &a\n  containers: [*a]\n": "x.yaml:1:1: error: more than 200000 values",
		"kind: Pod\napiVersion: v1\nmetadata: {name: \"\\0\"}\n":                         "x.yaml:",
		"kind: Pod\napiVersion: v1\nmetadata: {name: x}\x00\n":                           "x.yaml:1:1: error: a NUL byte",
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e]\n": "error: more than 200000 values",
	} {
		s := New(testHost)
		s.AddKubernetes(Source{Path: "x.yaml", Data: []byte(text)})
		s.Kubernetes()
		if got := repaired(t, s); !strings.Contains(got, want) || !s.Problems().HasErrors() {
			t.Errorf("%q is reported as\n%s", text, got)
		}
	}
}

// Whatever stands in a file, what is made of it is a definition.
func FuzzKubernetes(f *testing.F) {
	paths, _ := filepath.Glob("testdata/kube/*.txtar")
	for _, path := range paths {
		if archive, err := txtar.ParseFile(path); err == nil {
			for _, file := range archive.Files {
				f.Add(string(file.Data))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 8192 {
			t.Skip()
		}
		s := New(testHost)
		s.AddKubernetes(Source{Path: "x.yaml", Dir: "/here", Data: []byte(text)})
		s.Kubernetes()
		repaired(t, s)
		for _, p := range s.Problems() {
			if p.Severity == diag.Warning && p.Line == 0 && p.File == "x.yaml" && strings.HasPrefix(p.Path, "spec") {
				t.Errorf("without a line: %s", p)
			}
		}
	})
}

// kubernetesFields are those of Kubernetes' API 1.36.
var kubernetesFields = map[string]string{
	"PodSpec": `activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks ephemeralContainers evictionResponders hostAliases
		hostIPC hostNetwork hostPID hostUsers hostname hostnameOverride imagePullSecrets initContainers nodeName nodeSelector os overhead preemptionPolicy priority
		priorityClassName readinessGates resourceClaims resources restartPolicy runtimeClassName schedulerName schedulingGates schedulingGroup securityContext serviceAccount
		serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations topologySpreadConstraints volumes`,
	"PodSecurityContext": `appArmorProfile fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy seLinuxOptions seccompProfile supplementalGroups
		supplementalGroupsPolicy sysctls windowsOptions`,
	"Container": `args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy resources restartPolicy restartPolicyRules
		securityContext startupProbe stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts workingDir`,
	"SecurityContext": `allowPrivilegeEscalation appArmorProfile capabilities privileged procMount readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser seLinuxOptions
		seccompProfile windowsOptions`,
	"Volume": `awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath
		image iscsi name nfs persistentVolumeClaim photonPersistentDisk portworxVolume projected quobyte rbd scaleIO secret storageos vsphereVolume`,
	"VolumeMount":   `bindMountOptions mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr`,
	"Probe":         `exec failureThreshold grpc httpGet initialDelaySeconds periodSeconds successThreshold tcpSocket terminationGracePeriodSeconds timeoutSeconds`,
	"Lifecycle":     `postStart preStop stopSignal`,
	"EnvVarSource":  `configMapKeyRef fieldRef fileKeyRef resourceFieldRef secretKeyRef`,
	"ContainerPort": `containerPort hostIP hostPort name protocol`,
	"Service": `allocateLoadBalancerNodePorts clusterIP clusterIPs externalIPs externalName externalTrafficPolicy healthCheckNodePort internalTrafficPolicy ipFamilies ipFamilyPolicy
		loadBalancerClass loadBalancerIP loadBalancerSourceRanges ports publishNotReadyAddresses selector sessionAffinity sessionAffinityConfig trafficDistribution type`,
	"Workload": `activeDeadlineSeconds backoffLimit backoffLimitPerIndex completionMode completions concurrencyPolicy failedJobsHistoryLimit jobTemplate managedBy manualSelector
		maxFailedIndexes minReadySeconds ordinals parallelism paused persistentVolumeClaimRetentionPolicy podFailurePolicy podManagementPolicy podReplacementPolicy
		progressDeadlineSeconds replicas revisionHistoryLimit schedule scheduling selector serviceName startingDeadlineSeconds strategy successPolicy successfulJobsHistoryLimit
		suspend template timeZone ttlSecondsAfterFinished updateStrategy volumeClaimTemplates`,
}

// Every field of Kubernetes' has a row that says what becomes of it, and no other has.
func TestEveryFieldHasARow(t *testing.T) {
	tables := map[string][]string{"PodSpec": names(t, specRows), "PodSecurityContext": names(t, podSecurityRows), "Container": names(t, containerRows),
		"SecurityContext": names(t, securityRows), "Volume": names(t, volumeRows), "VolumeMount": names(t, mountRows), "Probe": names(t, probeRows), "Lifecycle": names(t, lifecycleRows),
		"EnvVarSource": names(t, envRows), "ContainerPort": names(t, portRows), "Service": names(t, serviceFieldRows), "Workload": names(t, workloadRows)}
	for kind, want := range kubernetesFields {
		all := strings.Fields(want)
		slices.Sort(all)
		slices.Sort(tables[kind])
		if diff := cmp.Diff(all, tables[kind]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

func names[T teller](t *testing.T, rows []row[T]) (all []string) {
	for _, r := range rows {
		if all = append(all, r.name); r.becomes == "" {
			t.Errorf("%s becomes nothing that is said", r.name)
		}
	}
	return all
}
