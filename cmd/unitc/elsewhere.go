// SPDX-License-Identifier: Apache-2.0

package main

// elsewhere are verbs of Docker, Podman and systemctl that somebody types here,
// with what does it.
var elsewhere = map[string]string{
	"auto-update":   "write unitc update",
	"commit":        "build an image, by unitc build or otherwise; unitc changes lists what a container has changed, and unitc export NAME | unitc load --rootfs --name IMAGE - makes an image of its files",
	"compose":       "write unitc up compose.yaml",
	"container":     "leave the word out, as in unitc ps",
	"create":        "write a definition, then unitc up FILE",
	"daemon-reload": "write systemctl daemon-reload",
	"image":         "write unitc images, or leave the word out, as in unitc pull",
	"info":          "write unitc doctor",
	"is-active":     "write systemctl is-active NAME",
	"journal":       "write unitc logs NAME",
	"list":          "write unitc ps",
	"ls":            "write unitc ps",
	"mask":          "write systemctl mask NAME",
	"reload":        "write systemctl daemon-reload for definitions, systemctl reload NAME for a container",
	"rename":        "rename the definition, then systemctl daemon-reload and systemctl stop the old name",
	"restart":       "write systemctl restart NAME; of a project it is NAME.target",
	"rm":            "nothing stays of a stopped container; unitc down takes its definition away, unitc volume rm a volume, unitc rmi an image",
	"show":          "write systemctl show NAME, or unitc inspect NAME",
	"start":         "write systemctl start NAME; of a project it is NAME.target",
	"status":        "write systemctl status NAME, or unitc ps",
	"stop":          "write systemctl stop NAME; of a project it is NAME.target",
	"system":        "write unitc doctor, df, prune or events",
	"unmask":        "write systemctl unmask NAME",
}
