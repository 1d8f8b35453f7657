// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/cli/convert"
)

// instead are options of Docker's, Podman's and Compose's verbs that somebody types
// here, with what does it: by verb, then by option. A letter is the short one.
var instead = map[string]map[string]string{
	"build": {
		"file": theFile, "f": theFile,
		"tag": "the image is called as image: in the definition says; `unitc tag` gives it another name", "t": "the image is called as image: in the definition says; `unitc tag` gives it another name",
		"build-arg": "write build: {args: ...} in the definition",
	},
	"down": {
		"rmi":     "`unitc rmi IMAGE` removes an image, `unitc prune --all` all that nothing runs",
		"timeout": "write stop_grace_period: in the definition", "t": "write stop_grace_period: in the definition",
		"file": theFile, "f": theFile, "project-name": "name the project", "p": "name the project",
	},
	"exec": {
		"index":      "name the instance: `unitc ps` lists them",
		"privileged": "a program gets what the container has; run what needs more on the host",
		"no-tty":     "there is no terminal without --tty", "T": "there is no terminal without --tty",
		"env-file": "write --env NAME=VALUE",
	},
	"kill": {"remove-orphans": "`unitc up --remove-orphans FILE` stops them"},
	"logs": {
		"details":  "`unitc logs -o verbose` prints all that the journal has",
		"no-color": "lines come without colours where output is no terminal", "index": "name the instance: `unitc ps` lists them",
	},
	"ps": {
		"last": "`unitc events --since -1h` tells what was started", "n": "`unitc events --since -1h` tells what was started",
		"latest": "`unitc events --since -1h` tells what was started", "l": "`unitc events --since -1h` tells what was started",
		"size": "`unitc df` tells of the store, `unitc changes NAME` of what one has written", "s": "`unitc df` tells of the store, `unitc changes NAME` of what one has written",
		"no-trunc": "nothing is cut where output is no terminal", "services": "write --quiet", "status": "write --filter status=STATE",
		"orphans": "they are listed", "namespace": "`lsns -p PID` lists them", "pod": "services of a project are its units", "sort": "it is sorted by name",
	},
	"pull": {
		"all-tags": "name each image", "a": "name each image",
		"arch": "write --platform OS/ARCH", "os": "write --platform OS/ARCH",
		"creds": "`unitc login REGISTRY` first", "tls-verify": inRegistries, "cert-dir": certDir,
		"ignore-buildable": "nothing is built by a pull", "include-deps": "a start fetches what is missing",
	},
	"push":  {"creds": "`unitc login REGISTRY` first", "tls-verify": inRegistries, "cert-dir": certDir},
	"stats": {"all": "what does not run uses nothing", "a": "what does not run uses nothing", "format": "write --json", "no-trunc": "nothing is cut where output is no terminal"},
	"up": {
		"file": theFile, "f": theFile,
		"project-name": "write --name NAME", "p": "write --name NAME",
		"scale":    "write scale: N at the service in the file",
		"profile":  "write COMPOSE_PROFILES=NAME to .env beside the file",
		"env-file": "name the file .env, or NAME.env, beside the definition",
		"timeout":  "write stop_grace_period: in the definition", "t": "write stop_grace_period: in the definition",
		"wait-timeout":       "write start_period: of the health check, or systemd: {service: {TimeoutStartSec: ...}}",
		"no-deps":            "units start what they require: leave depends_on: out, or start one by `systemctl start --job-mode=ignore-dependencies NAME`",
		"renew-anon-volumes": "`unitc down --volumes` removes them", "V": "`unitc down --volumes` removes them",
		"abort-on-container-exit": atEnd, "abort-on-container-failure": atEnd, "exit-code-from": atEnd,
		"attach": shown, "attach-dependencies": shown, "no-attach": shown, "no-color": shown, "no-log-prefix": shown, "timestamps": shown, "menu": shown,
		"quiet-pull": "the pull is seen in `systemctl status`", "always-recreate-deps": "write --force-recreate",
		"watch": "run `unitc up FILE` again when something has changed", "w": "run `unitc up FILE` again when something has changed",
		"yes": "nothing is asked", "y": "nothing is asked",
	},
	"login": {
		"password":   seenByAll,
		"p":          seenByAll,
		"tls-verify": inRegistries,
		"cert-dir":   certDir,
		"get-login":  "the file that unitc login has named has it",
	},
}

const (
	theFile      = "name the file without an option; those that are merged into it stand in COMPOSE_FILE of .env, or are drop-ins"
	inRegistries = "write insecure = true for the registry in registries.conf"
	certDir      = "put the certificates into /etc/unitc/certs.d/REGISTRY"
	shown        = "`unitc logs -f NAME` shows what they write"
	atEnd        = "`unitc wait NAME` waits for the end of one and prints its status"
)

const seenByAll = "all users of the machine see arguments, and shells keep them; leave it away to be asked, or write --password-stdin"

// otherOption says what to write in the place of an option that a verb has not; "" =
// nothing is known.
func otherOption(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return ""
	}
	name := unknown.GetSpecifiedName()
	text := instead[cmd.Name()][name]
	if text == "" && cmd.Name() == "run" {
		text = convert.Instead(name)
	}
	switch {
	case text == "":
		return ""
	case len(name) == 1:
		return "-" + name + ": " + text
	}
	return "--" + name + ": " + text
}
