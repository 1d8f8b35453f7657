// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/cli/convert"
)

// instead are options of other programs' verbs that somebody types here, with what does
// it: by verb, then by option. A letter is the short one. They are those of Docker, Podman
// and Compose, of journalctl, systemctl and machinectl (testdata/options.txt).
var instead = map[string]map[string]string{
	"apply": {"no-block": nothingInBackground},
	"attach": {
		"index":  indexed,
		"latest": nameIt, "l": nameIt,
	},
	"build": {
		"file": theFile, "f": theFile,
		"tag": "the image is called as image: in the definition says; `unitc tag` gives it another name", "t": "the image is called as image: in the definition says; `unitc tag` gives it another name",
		"build-arg": "write build: {args: ...} in the definition",
		"memory":    inBuild, "m": inBuild, "ssh": inBuild, "target": inBuild, "platform": inBuild, "label": inBuild, "secret": inBuild, "network": inBuild, "add-host": inBuild,
		"cache-from": inBuild, "cache-to": inBuild, "build-context": inBuild, "shm-size": inBuild, "ulimit": inBuild, "provenance": inBuild, "sbom": inBuild,
		"push":  "`unitc push IMAGE` sends it to its registry",
		"quiet": "what the builder says goes to standard error", "q": "what the builder says goes to standard error",
		"progress": "it is the builder's own", "print": "`unitc check FILE` tells what is wrong with the definition", "check": "`unitc check FILE` tells what is wrong with the definition",
		"with-dependencies": "name the project: then all of its images are built", "iidfile": "`unitc inspect IMAGE` prints the digest",
	},
	"cat": {"no-pager": noPager},
	"changes": {
		"format": "write --json",
		"latest": nameIt, "l": nameIt,
	},
	"check": {
		"file": theFile, "f": theFile, "profile": inDotEnv, "env-file": asDotEnv,
		"project-name": ofFile, "p": ofFile,
		"output": "write > FILE", "o": "write > FILE",
		"services": whatItIs, "volumes": whatItIs, "networks": whatItIs, "images": whatItIs, "models": whatItIs, "profiles": whatItIs, "variables": whatItIs, "environment": whatItIs, "hash": whatItIs,
		"no-interpolate": whatItIs, "no-normalize": whatItIs, "no-path-resolution": whatItIs, "no-env-resolution": whatItIs, "no-consistency": whatItIs,
		"resolve-image-digests": byDigest, "lock-image-digests": byDigest,
	},
	"cp": {
		"quiet": "it says nothing where all is well", "q": "it says nothing where all is well",
		"index": indexed, "all": "copy to one after the other: `unitc ps` lists them",
		"overwrite": "copy a directory into one, or a file over a file", "pause": "`unitc pause NAME` first, and `unitc unpause NAME` behind it",
		"force": "a file that is there is replaced",
	},
	"df": {
		"format":  "write --json",
		"verbose": imagesAndVolumes, "v": imagesAndVolumes,
	},
	"disable": {
		"runtime": forGood, "force": notNeeded, "f": notNeeded, "no-reload": "systemd has to be told, or nothing comes of it", "no-block": nothingInBackground,
		"quiet": quietly, "q": quietly,
	},
	"down": {
		"rmi":     "`unitc rmi IMAGE` removes an image, `unitc prune --all` all that nothing runs",
		"timeout": "write stop_grace_period: in the definition", "t": "write stop_grace_period: in the definition",
		"file": theFile, "f": theFile, "project-name": "name the project", "p": "name the project",
	},
	"edit": {
		"full": "it is the definition itself that is edited", "l": "it is the definition itself that is edited",
		"force": "`unitc up FILE` installs a new one", "f": "`unitc up FILE` installs a new one",
		"drop-in": "write /etc/unitc/NAME.yaml.d/WORD.yaml", "stdin": "`unitc up --name NAME -` reads a definition from standard input",
		"runtime": "a definition in /run/unitc/definitions goes with the next boot",
	},
	"enable": {
		"runtime": forGood, "force": notNeeded, "f": notNeeded, "no-reload": "systemd has to be told, or nothing comes of it", "no-block": nothingInBackground,
		"quiet": quietly, "q": quietly,
	},
	"events": {
		"filter": "name the containers: `unitc events NAME`; jq(1) chooses by all else of `unitc events --json`", "f": "name the containers: `unitc events NAME`; new ones are followed unless --no-follow is given",
		"format": "write --json", "stream": "write --no-follow", "no-trunc": "nothing is cut",
	},
	"exec": {
		"index":      indexed,
		"privileged": "a program gets what the container has; run what needs more on the host",
		"no-tty":     "there is no terminal without --tty", "no-TTY": "there is no terminal without --tty", "T": "there is no terminal without --tty",
		"env-file":    "write --env NAME=VALUE",
		"detach-keys": "all keys go to the program; a third Ctrl-C kills one that goes on",
		"latest":      nameIt, "l": nameIt, "preserve-fd": noDescriptors, "preserve-fds": noDescriptors,
		"setenv": "write --env NAME=VALUE", "E": "write --env NAME=VALUE", "uid": "write --user USER", "quiet": quietly, "q": quietly,
	},
	"history": {
		"format": "write --json", "no-trunc": "nothing is cut where output is no terminal", "quiet": "write --json", "q": "write --json",
		"human": "sizes are; those of --json are bytes", "H": "sizes are; those of --json are bytes",
		"platform": onePlatform,
	},
	"images": {
		"all": "all are listed", "a": "all are listed", "digests": "they are in --json", "no-trunc": "nothing is cut where output is no terminal",
		"filter": chooseByJQ, "f": chooseByJQ, "format": chooseByJQ, "tree": onePlatform, "sort": chooseByJQ,
		"noheading": "write --quiet or --json", "n": "write --quiet or --json", "history": "`unitc history IMAGE` has it",
	},
	"inspect": {
		"format": chooseOfInspect, "f": chooseOfInspect,
		"type": "a container comes before an image of that name", "t": "a container comes before an image of that name",
		"size": "`unitc df` tells of the store, `unitc changes NAME` of what one has written", "s": "`unitc df` tells of the store, `unitc changes NAME` of what one has written",
		"latest": nameIt, "l": nameIt,
	},
	"kill": {
		"remove-orphans": "`unitc up --remove-orphans FILE` stops them",
		"kill-whom":      "the first process gets it, with --all all of them", "kill-value": "`systemctl kill` sends values",
		"cidfile": nameIt, "latest": nameIt, "l": nameIt, "a": "--all is all processes of a container; name the containers",
	},
	"load": {
		"input": "name the file without an option", "i": "name the file without an option",
	},
	"login": {
		"password":   seenByAll,
		"p":          seenByAll,
		"tls-verify": inRegistries,
		"cert-dir":   certDir,
		"get-login":  "the file that unitc login has named has it",
		"verbose":    "it says where the password is kept", "v": "it says where the password is kept",
		"secret": "pipe it in, with --password-stdin", "compat-auth-file": "write --authfile FILE",
	},
	"logout": {"compat-auth-file": "write --authfile FILE"},
	"logs": {
		"details":  "`unitc logs -o verbose` prints all that the journal has",
		"no-color": "lines come without colours where output is no terminal", "color": "lines of what is worse are coloured on a terminal",
		"index": indexed, "names": "the name stands in each line", "latest": nameIt, "l": nameIt,
		"unit": nameIt, "u": nameIt, "all": journalHasIt, "a": journalHasIt, "utc": journalHasIt, "no-hostname": journalHasIt, "output-fields": journalHasIt, "cursor": journalHasIt, "c": journalHasIt,
		"after-cursor": journalHasIt, "show-cursor": journalHasIt, "facility": journalHasIt, "case-sensitive": journalHasIt, "identifier": journalHasIt,
		"dmesg": "`unitc why NAME` tells what the kernel said", "k": "`unitc why NAME` tells what the kernel said",
		"full": "lines are not cut", "no-full": journalHasIt, "no-tail": "write --lines all", "list-boots": journalHasIt,
	},
	"network inspect": {"format": chooseOfInspect, "f": chooseOfInspect, "verbose": "all is printed", "v": "all is printed"},
	"network ls": {
		"filter": chooseByJQ, "f": chooseByJQ, "format": "write --json", "no-trunc": "nothing is cut where output is no terminal",
		"noheading": "write --quiet or --json", "n": "write --quiet or --json",
	},
	"network prune":  {"filter": "`unitc network rm NAME` removes one", "force": notAsked, "f": notAsked},
	"network reload": {"all": "all are", "a": "all are", "latest": "all are", "l": "all are"},
	"network rm":     {"force": "stop those that are in it first: `unitc network inspect NAME` names them", "f": "stop those that are in it first: `unitc network inspect NAME` names them", "time": inDefinition, "t": inDefinition},
	"pause":          {"all": nameIt, "a": nameIt, "cidfile": nameIt, "filter": nameIt, "f": nameIt, "latest": nameIt, "l": nameIt},
	"port": {
		"all": "name a project, or one container", "a": "name a project, or one container", "latest": nameIt, "l": nameIt,
		"index": indexed, "protocol": "write it behind the port, as in `unitc port NAME 53/udp`",
	},
	"prune": {
		"force": notAsked, "f": notAsked, "volumes": keptVolumes, "filter": "`unitc rmi IMAGE` removes one",
		"build": "the builder keeps what it needs: clean up with its own program", "external": "`unitc prune --partial` removes what broken pulls have left",
	},
	"ps": {
		"last": "`unitc events --since -1h` tells what was started", "n": "`unitc events --since -1h` tells what was started",
		"latest": "`unitc events --since -1h` tells what was started", "l": "`unitc events --since -1h` tells what was started",
		"size": "`unitc df` tells of the store, `unitc changes NAME` of what one has written", "s": "`unitc df` tells of the store, `unitc changes NAME` of what one has written",
		"no-trunc": "nothing is cut where output is no terminal", "services": "write --quiet", "status": "write --filter status=STATE",
		"orphans": "they are listed", "namespace": "`lsns -p PID` lists them", "ns": "`lsns -p PID` lists them", "pod": "services of a project are its units", "p": "services of a project are its units",
		"sort": "it is sorted by name", "external": "what is not of unitc is not listed: `systemctl list-units` does", "sync": "systemd is asked each time",
		"noheading": "write --quiet or --json", "no-legend": "write --quiet or --json", "watch": "`watch unitc ps` does, and `unitc stats` by itself", "w": "`watch unitc ps` does, and `unitc stats` by itself",
		"state": "write --filter status=STATE", "failed": "write --filter status=failed", "no-pager": noPager, "output": "write --json", "o": "write --json",
	},
	"pull": {
		"all-tags": "name each image", "a": "name each image",
		"arch": "write --platform OS/ARCH", "os": "write --platform OS/ARCH", "variant": "write --platform OS/ARCH/VARIANT",
		"creds": "`unitc login REGISTRY` first", "tls-verify": inRegistries, "cert-dir": certDir,
		"ignore-buildable": "nothing is built by a pull", "include-deps": "a start fetches what is missing",
		"disable-content-trust": inPolicy, "retry": "it tries again by itself", "retry-delay": "it tries again by itself", "decryption-key": "encrypted layers are not supported",
		"ignore-pull-failures": "the others are fetched, and the status is 1", "no-parallel": "images are fetched one after the other",
	},
	"push": {
		"creds": "`unitc login REGISTRY` first", "tls-verify": inRegistries, "cert-dir": certDir,
		"all-tags": "name each image", "a": "name each image", "platform": onePlatform, "disable-content-trust": unsigned,
		"compress": asItIs, "compression-format": asItIs, "compression-level": asItIs, "force-compression": asItIs, "format": asItIs, "f": asItIs, "remove-signatures": unsigned,
		"digestfile": "`unitc inspect IMAGE` prints the digest", "retry": "it tries again by itself", "retry-delay": "it tries again by itself",
		"sign-by": unsigned, "sign-by-sigstore": unsigned, "sign-by-sigstore-private-key": unsigned, "sign-passphrase-file": unsigned, "encrypt-layer": unsigned, "encryption-key": unsigned,
		"ignore-push-failures": "push one after the other", "include-deps": "push one after the other",
	},
	"rmi": {
		"no-prune": "layers that nothing needs go with the next `unitc prune`", "platform": onePlatform,
		"all": "`unitc prune --all` removes all that nothing runs", "a": "`unitc prune --all` removes all that nothing runs", "ignore": "what is not there is an error", "i": "what is not there is an error",
	},
	"save": {
		"platform": onePlatform, "compress": asItIs, "uncompressed": asItIs, "multi-image-archive": "name several images", "m": "name several images", "quiet": quietly, "q": quietly,
	},
	"secret ls":  {"filter": chooseByJQ, "f": chooseByJQ, "format": "write --json", "quiet": "write --json, as in unitc secret ls --json | jq -r '.[]'", "q": "write --json, as in unitc secret ls --json | jq -r '.[]'", "noheading": "write --json", "n": "write --json"},
	"secret rm":  {"all": "name them: `unitc secret ls` lists them", "a": "name them: `unitc secret ls` lists them", "ignore": "what is not there is an error", "i": "what is not there is an error"},
	"secret set": {"driver": oneStore, "d": oneStore, "driver-opts": oneStore, "template-driver": oneStore, "label": "it has none", "l": "it has none", "env": "write printenv NAME | unitc secret set NAME", "replace": "one of that name is replaced"},
	"stats": {
		"all": "what does not run uses nothing", "a": "what does not run uses nothing", "format": "write --json", "no-trunc": "nothing is cut where output is no terminal",
		"no-reset": "write --json", "latest": nameIt, "l": nameIt,
	},
	"top":     {"latest": nameIt, "l": nameIt, others: ownColumns},
	"unpause": {"all": nameIt, "a": nameIt, "cidfile": nameIt, "filter": nameIt, "f": nameIt, "latest": nameIt, "l": nameIt},
	"up": {
		"file": theFile, "f": theFile,
		"project-name": "write --name NAME", "p": "write --name NAME",
		"scale":    "write scale: N at the service in the file",
		"profile":  inDotEnv,
		"env-file": asDotEnv,
		"timeout":  "write stop_grace_period: in the definition", "t": "write stop_grace_period: in the definition",
		"wait-timeout":       "write start_period: of the health check, or systemd: {service: {TimeoutStartSec: ...}}",
		"no-deps":            "units start what they require: leave depends_on: out, or start one by `systemctl start --job-mode=ignore-dependencies NAME`",
		"renew-anon-volumes": "`unitc down --volumes` removes them", "V": "`unitc down --volumes` removes them",
		"abort-on-container-exit": atEnd, "abort-on-container-failure": atEnd, "exit-code-from": atEnd,
		"attach": shown, "attach-dependencies": shown, "no-attach": shown, "no-color": shown, "no-log-prefix": shown, "timestamps": shown, "menu": shown,
		"quiet-pull": "the pull is seen in `systemctl status`", "always-recreate-deps": "write --force-recreate", "quiet-build": "what the builder says goes to standard error",
		"watch": "run `unitc up FILE` again when something has changed", "w": "run `unitc up FILE` again when something has changed",
		"yes": "nothing is asked", "y": "nothing is asked",
	},
	"update":  limitsOfUpdate(),
	"version": {"format": "write --json", "f": "write --json", "short": "write unitc --version"},
	"volume create": {
		"driver": "local is the only one", "d": "local is the only one", "l": "write --label", "ignore": "one of that name that is there is an error",
	},
	"volume inspect": {"format": chooseOfInspect, "f": chooseOfInspect, "all": "name them: `unitc volume ls` lists them", "a": "name them: `unitc volume ls` lists them"},
	"volume ls": {
		"filter": chooseByJQ, "f": chooseByJQ, "format": "write --json", "cluster": "volumes are this host's", "noheading": "write --quiet or --json", "n": "write --quiet or --json",
	},
	"volume rm": {
		"force": "stop those that use it first: it has data", "f": "stop those that use it first: it has data", "all": keptVolumes, "a": keptVolumes, "time": inDefinition, "t": inDefinition,
	},
	"wait": {
		"condition": "it waits for the end; `unitc wait-for` waits for conditions of the host, `systemctl start NAME` until it is healthy",
		"interval":  "nothing is polled", "i": "nothing is polled", "ignore": "what is not there is an error", "latest": nameIt, "l": nameIt,
		"exit-first-match": "it waits for all that are named", "down-project": "`unitc down NAME` behind it",
	},
}

// others stands for all options of a verb that are not named.
const others = "*"

const (
	theFile             = "name the file without an option; those that are merged into it stand in COMPOSE_FILE of .env, or are drop-ins"
	inDotEnv            = "write COMPOSE_PROFILES=NAME to .env beside the file"
	asDotEnv            = "name the file .env, or NAME.env, beside the definition"
	ofFile              = "a file is checked as the project that `unitc up` makes of it"
	whatItIs            = "`unitc generate --dry-run --all DIR` prints what the definitions in DIR become"
	byDigest            = "write image: NAME@sha256:...; `unitc inspect IMAGE` prints the digest"
	inRegistries        = "write insecure = true for the registry in registries.conf"
	inPolicy            = "who may have signed an image stands in policy.json; see --signature-policy"
	certDir             = "put the certificates into /etc/unitc/certs.d/REGISTRY"
	shown               = "`unitc logs -f NAME` shows what they write"
	atEnd               = "`unitc wait NAME` waits for the end of one and prints its status"
	indexed             = "name the instance: `unitc ps` lists them"
	nameIt              = "name the container: `unitc ps` lists them"
	inBuild             = "write it under build: in the definition; unitc.yaml(5) has the keys"
	inDefinition        = "write stop_grace_period: in the definition"
	noPager             = "there is no pager"
	noDescriptors       = "a program gets standard input and output alone"
	notNeeded           = "nothing stands in its way"
	notAsked            = "nothing is asked: leave it away"
	quietly             = "it says nothing of its own: leave it away"
	forGood             = "it holds until the contrary is said; write the link below /run/systemd/system by hand"
	nothingInBackground = "`systemctl start --no-block NAME` does not wait"
	onePlatform         = "an image in the store is of one platform, that of `unitc pull --platform OS/ARCH`"
	asItIs              = "layers go as they came"
	unsigned            = "nothing is signed or encrypted: skopeo and cosign do"
	oneStore            = "systemd-creds(1) is the only one"
	keptVolumes         = "volumes have data: `unitc volume ls` lists them, `unitc volume rm NAME` removes one"
	imagesAndVolumes    = "`unitc images` and `unitc volume ls` list each"
	chooseByJQ          = "write --json: jq(1) chooses of it"
	chooseOfInspect     = "it prints JSON, of which jq(1) chooses, as in unitc inspect NAME | jq -r '.[0].state'"
	journalHasIt        = "journalctl -u NAME.service -u unitc-NAME.scope takes it, which are the lines that this prints"
	ownColumns          = "it has columns of its own: `unitc top --json` prints all, `unitc exec NAME ps aux` runs the container's ps"
)

const seenByAll = "all users of the machine see arguments, and shells keep them; leave it away to be asked, or write --password-stdin"

// limitsOfUpdate: docker update changes limits of containers.
func limitsOfUpdate() map[string]string {
	const limits = "`unitc update-limits NAME KEY=VALUE` changes limits of what runs; this fetches newer images"
	const keys = "change the definition, then `unitc apply NAME`; this fetches newer images"
	list := map[string]string{}
	for _, name := range []string{"memory", "m", "cpus", "memory-reservation", "memory-swap", "cpu-shares", "c", "cpu-period", "cpu-quota", "cpuset-cpus", "pids-limit"} {
		list[name] = limits
	}
	for _, name := range []string{
		"restart", "blkio-weight", "blkio-weight-device", "cpu-rt-period", "cpu-rt-runtime", "cpuset-mems", "memory-swappiness", "no-healthcheck",
		"device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops",
		"health-cmd", "health-interval", "health-log-destination", "health-max-log-count", "health-max-log-size", "health-on-failure", "health-retries", "health-start-period",
		"health-startup-cmd", "health-startup-interval", "health-startup-retries", "health-startup-success", "health-startup-timeout", "health-timeout",
	} {
		list[name] = keys
	}
	return list
}

// verbOf is a verb as it is typed, as in "volume ls".
func verbOf(cmd *cobra.Command) string {
	_, verb, _ := strings.Cut(cmd.CommandPath(), " ")
	return verb
}

// otherOption says what to write in the place of an option that a verb has not; "" =
// nothing is known.
func otherOption(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name, verb := unknown.GetSpecifiedName(), verbOf(cmd)
	text := cmp.Or(instead[verb][name], instead[verb][others])
	switch {
	case text == "" && verb == "run":
		text = convert.Instead(name)
	case text == "" && verb == "kill" && len(name) == 1 && strings.Contains(signalLetters, name):
		text = "write -s and the signal, as in `unitc kill -s HUP NAME`" // as kill(1) takes -9 and -HUP
	}
	switch {
	case text == "":
		return ""
	case len(name) == 1:
		return "-" + name + ": " + text
	}
	return "--" + name + ": " + text
}

// signalLetters are what a signal's name or number begins with.
const signalLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
