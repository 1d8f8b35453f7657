// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"strings"

	"github.com/unitc/unitc/internal/cli/convert/kube"
)

// kindRow is a kind of object, and what becomes of it.
type kindRow struct {
	name    string
	do      func(p *project, o *object)
	becomes string
}

// templates say where a kind has its pod.
var templates = map[string][]string{
	"Pod": {}, "Deployment": {"spec", "template"}, "ReplicaSet": {"spec", "template"}, "ReplicationController": {"spec", "template"}, "StatefulSet": {"spec", "template"},
	"DaemonSet": {"spec", "template"}, "Job": {"spec", "template"}, "CronJob": {"spec", "jobTemplate", "spec", "template"},
}

var kindRows []kindRow

func init() {
	kindRows = []kindRow{
		{"ConfigMap", whereUsed, "`configs` with their content, `environment`"},
		{"CronJob", (*project).addPod, "services with `systemd: timer`"},
		{"DaemonSet", (*project).addPod, "services, as a Pod"},
		{"Deployment", (*project).addPod, "services, as a Pod; `scale` of `replicas`"},
		{"Job", (*project).addPod, "services that end, with `restart: on-failure`"},
		{"List", whereUsed, "what is in it"},
		{"PersistentVolumeClaim", (*project).claim, "`volumes`, where a pod mounts it"},
		{"Pod", (*project).addPod, "a service for each container, and one for the pod where there are several"},
		{"ReplicaSet", (*project).addPod, "services, as a Deployment"},
		{"ReplicationController", (*project).addPod, "services, as a Deployment"},
		{"Secret", whereUsed, "files with mode 0600 beside the definition: `secrets`, and `env_file` of variables"},
		{"Service", (*project).addService, "`aliases` of the network for its pods; `ports` of a *NodePort* or a *LoadBalancer*"},
		{"StatefulSet", (*project).addPod, "services, as a Deployment, and a volume for each instance and template"},
		elsewhereKind("ClusterRole ClusterRoleBinding Role RoleBinding ServiceAccount", "there is no API server for it to speak of", ""),
		elsewhereKind("CustomResourceDefinition", "kinds of others", "write what its controller would make"),
		elsewhereKind("HTTPRoute Gateway Ingress IngressClass", "a proxy in front", "publish the ports under ports:, or run a proxy as a service of the project, which finds the others by their names"),
		elsewhereKind("HorizontalPodAutoscaler VerticalPodAutoscaler", "a number of instances that follows the load", "write scale:"),
		elsewhereKind("LimitRange ResourceQuota", "limits of all that is in a namespace", "write systemd: slice: in the services, and limits of the slice in its unit"),
		elsewhereKind("Namespace", "", "the project's name parts it from others"),
		elsewhereKind("NetworkPolicy", "rules between pods", "networks do not see each other: put each group of services on a network of its own, or write x-nftables:"),
		elsewhereKind("PersistentVolume", "the place of a volume", "write driver_opts: of the volume that claims it, for NFS and the like"),
		elsewhereKind("PodDisruptionBudget", "", "update_config: parallelism: says how many are replaced at once"),
		elsewhereKind("PriorityClass", "who is killed for whom", "write oom_score_adj: and cpu_shares:"),
		elsewhereKind("StorageClass", "", "volumes are directories of the host"),
	}
}

func kindOf(kind string) *kindRow {
	for i := range kindRows {
		for name := range strings.FieldsSeq(kindRows[i].name) {
			if name == kind {
				return &kindRows[i]
			}
		}
	}
	return nil
}

// whereUsed is of objects that those that use them look for.
func whereUsed(*project, *object) {}

// elsewhereKind is a row of kinds that nothing is made of: what is lost, or with nothing
// lost why it needs no word.
func elsewhereKind(names, what, cure string) kindRow {
	if what == "" {
		return kindRow{names, func(p *project, o *object) { p.note(o.whole(), cure) }, "nothing: " + cure}
	}
	becomes := "lost: " + what
	if cure != "" {
		becomes += "; " + cure
	}
	return kindRow{names, func(p *project, o *object) { p.once(o.whole(), o.kind, what, cure) }, becomes}
}

const oneMachine = "there is one machine"

// workload is what is read of a Deployment and its like.
type workload struct {
	p *project
	o *object
	d *def
	// replicas: -1 is none given.
	replicas        int
	replicasAt      arg
	deadline, limit arg   // activeDeadlineSeconds, backoffLimit of a Job
	timer           []arg // OnCalendar=
	persistent      arg
	zone            string
	claims          []kube.Value
	suspended       *arg
}

func (w *workload) teller() *def      { return w.d }
func (w *workload) owner() *object    { return w.o }
func (w *workload) project() *project { return w.p }

// workloadRows are the fields of the specifications of all kinds that have a template.
var workloadRows = []row[*workload]{
	fieldDoes("activeDeadlineSeconds", "`systemd: service: RuntimeMaxSec`", func(w *workload, v kube.Value) { w.deadline = argOf(w, v) }),
	fieldDoes("backoffLimit", "`restart: on-failure:N`", func(w *workload, v kube.Value) { w.limit = argOf(w, v) }),
	fieldLost[*workload]("backoffLimitPerIndex", "indexed jobs", "write a service for each"),
	fieldDoes("completionMode", "nothing: *NonIndexed*; *Indexed* is lost", func(w *workload, v kube.Value) {
		if v.Text() == "Indexed" {
			w.d.lost(argOf(w, v), "indexed jobs", "write a service for each, with its number under environment:")
		}
	}),
	fieldDoes("completions", "lost, if it is not 1: how often a job has to end well", func(w *workload, v kube.Value) {
		if v.Text() != "1" {
			w.d.lost(argOf(w, v), "how often a job has to end well", "start it as often, or write scale:")
		}
	}),
	fieldDoes("concurrencyPolicy", "nothing: a run that is due while the one before lasts is left out, as with *Forbid*", func(w *workload, v kube.Value) {
		if v.Text() != "Forbid" {
			w.d.changed(argOf(w, v), "a run that is due while the one before lasts is left out", "")
		}
	}),
	fieldIdle[*workload]("failedJobsHistoryLimit", "the journal has what was"),
	read[*workload]("jobTemplate", "see Job"),
	fieldLost[*workload]("managedBy", "another controller", ""),
	fieldIdle[*workload]("manualSelector", "the pod is that of the template"),
	fieldLost[*workload]("maxFailedIndexes", "indexed jobs", "write a service for each"),
	fieldIdle[*workload]("minReadySeconds", "update_config: monitor: says how long one has to stay up"),
	fieldIdle[*workload]("ordinals", "instances count from 0"),
	fieldDoes("parallelism", "`scale`", (*workload).setReplicas),
	switchLost[*workload]("paused", "a rollout that stands still", "unitc down NAME"),
	fieldIdle[*workload]("persistentVolumeClaimRetentionPolicy", "volumes stay until unitc volume rm"),
	fieldLost[*workload]("podFailurePolicy", "what a status means for a job", "write systemd: service: SuccessExitStatus:, RestartPreventExitStatus: or RestartForceExitStatus:"),
	fieldIdle[*workload]("podManagementPolicy", "instances start at once"),
	fieldIdle[*workload]("podReplacementPolicy", "a unit has one container"),
	fieldIdle[*workload]("progressDeadlineSeconds", "systemd: service: TimeoutStartSec: is the unit's"),
	fieldDoes("replicas", "`scale`, or as many services where instances have volumes or containers of their own", (*workload).setReplicas),
	fieldIdle[*workload]("revisionHistoryLimit", "the definition is a file; keep its history as that of others"),
	fieldIdle[*workload]("scheduling", oneMachine),
	fieldDoes("schedule", "`systemd: timer: OnCalendar`", (*workload).schedule),
	fieldIdle[*workload]("selector", "the pod is that of the template"),
	read[*workload]("serviceName", "`aliases`: INSTANCE.NAME"),
	fieldDoes("startingDeadlineSeconds", "`systemd: timer: Persistent`", func(w *workload, v kube.Value) { w.persistent = argOf(w, v) }),
	fieldIdle[*workload]("strategy", "update_config: says how instances are replaced"),
	fieldLost[*workload]("successPolicy", "when a job is done", ""),
	fieldIdle[*workload]("successfulJobsHistoryLimit", "the journal has what was"),
	fieldDoes("suspend", "a service that is not started with the project (`profiles`), nor at boot", func(w *workload, v kube.Value) {
		if a := argOf(w, v); v.True() {
			w.suspended = &a
		}
	}),
	read[*workload]("template", "see Pod"),
	read[*workload]("timeZone", "`systemd: timer: OnCalendar` with the zone"),
	fieldIdle[*workload]("ttlSecondsAfterFinished", "nothing stays of a container that has ended"),
	fieldIdle[*workload]("updateStrategy", "update_config: says how instances are replaced"),
	fieldDoes("volumeClaimTemplates", "`volumes`: TEMPLATE-NAME-INSTANCE", func(w *workload, v kube.Value) { w.claims = v.Items() }),
}

func (w *workload) setReplicas(v kube.Value) {
	n, ok := v.Int()
	if !ok || n < 0 || n > 1000 {
		w.d.lost(argOf(w, v), "no number of instances", "write scale:")
		return
	}
	w.replicas, w.replicasAt = int(n), argOf(w, v)
}

func (w *workload) schedule(v kube.Value) {
	text, zone := v.Text(), w.zone
	if rest, ok := strings.CutPrefix(text, "CRON_TZ="); ok {
		zone, text, _ = strings.Cut(rest, " ")
	} else if rest, ok := strings.CutPrefix(text, "TZ="); ok {
		zone, text, _ = strings.Cut(rest, " ")
	}
	all, err := kube.Calendar(text)
	if err != nil {
		w.d.lost(argOf(w, v), err.Error(), "write systemd: timer: OnCalendar:, see systemd.time(7)")
		return
	}
	for _, calendar := range all {
		if zone != "" {
			calendar += " " + zone
		}
		w.timer = append(w.timer, argOf(w, v).with(calendar))
	}
}

// addPod keeps what runs of an object, to be converted when all objects are known.
func (p *project) addPod(o *object) {
	w := &workload{p: p, o: o, d: p.d, replicas: -1, zone: o.value.Find("spec", "timeZone").Text()}
	template := o.value.Find(templates[o.kind]...)
	known(w, o.value, "apiVersion kind metadata spec status")
	if o.kind != "Pod" {
		known(w, template, "metadata spec")
	}
	if o.kind != "Pod" {
		walk(w, workloadRows, o.value.Get("spec"))
		if job := o.value.Find("spec", "jobTemplate", "spec"); !job.IsMissing() {
			walk(w, workloadRows, job)
		}
	}
	if template.Get("spec").IsNull() {
		p.set.fault(o.arg(o.value).at, "spec", "there is no pod in it", "Kubernetes does not take it either")
		return
	}
	p.pods = append(p.pods, &pod{workload: w, name: o.name, meta: template.Get("metadata"), spec: template.Get("spec"), instance: -1})
}

// claim makes a volume of what Podman's annotations say of one.
func (p *project) claim(o *object) {
	if spec := o.value.Get("spec"); spec.Get("volumeMode").Text() == "Block" {
		p.d.lost(o.arg(spec.Get("volumeMode")), "volumes that are devices", "write devices: with the device")
	}
	if size := o.value.Find("spec", "resources", "requests", "storage"); !size.IsMissing() {
		p.note(o.arg(size), "a volume has the room that its file system has; driver_opts: {size: …} limits it where that has project quotas")
	}
	var options []pair
	for _, f := range o.value.Find("metadata", "annotations").Fields() {
		name, ok := strings.CutPrefix(f.Key, "volume.podman.io/")
		a := o.arg(f.Value)
		switch {
		case !ok:
		case name == "driver" && f.Value.Text() == "local":
		case name == "device" || name == "type":
			options = append(options, pair{name, scalarOf(a, f.Value.Text())})
		case name == "mount-options":
			options = append(options, pair{"o", scalarOf(a, f.Value.Text())})
		case name == "import-source":
			p.d.lost(a, "what a new volume begins with", p.set.unitc("volume import")+shellWord(o.name)+" "+shellWord(f.Value.Text())+" before the first start")
		case name == "uid" || name == "gid":
			p.d.lost(a, "the owner of a new volume", "chown its directory, which unitc volume inspect names")
		default:
			p.d.lost(a, "volumes with "+name, "")
		}
	}
	a := o.arg(o.value.Get("metadata"))
	if options != nil {
		p.declare("volumes", o.name, a, pair{"name", scalarOf(a, o.name)}, pair{"driver_opts", &node{kind: mapping, pairs: options, at: a.at, from: a.name}})
	}
}
