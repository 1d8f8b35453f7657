// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"path"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/diag"
)

// commandLine is what problems of a command line have as their file; the column is that
// of the word where all of them stand on one line, with a blank between them.
const commandLine = "command line"

// globalWithValue are options of docker and podman in front of the verb that take one.
var globalWithValue = []string{"--config", "--context", "-c", "--host", "-H", "--log-level", "-l", "--tlscacert", "--tlscert", "--tlskey",
	"--cgroup-manager", "--conmon", "--connection", "--events-backend", "--hooks-dir", "--identity", "--imagestore", "--module", "--network-cmd-path",
	"--network-config-dir", "--out", "--root", "--runroot", "--runtime", "--runtime-flag", "--ssh", "--storage-driver", "--storage-opt", "--tmpdir", "--url", "--volumepath"}

// Command converts a command line of docker run or podman run.
func (s *Set) Command(line []string) {
	var args []arg
	col := 1
	for _, word := range line {
		args = append(args, arg{text: word, at: place{file: commandLine, line: 1, col: col}})
		col += len([]rune(word)) + 1
	}
	for len(args) > 0 && (args[0].text == "sudo" || args[0].text == "doas") {
		args = args[1:]
	}
	begin := place{file: commandLine, line: 1, col: 1}
	if len(args) == 0 {
		s.fault(begin, "", "no command", "write for example: unitc convert -- docker run -d --name web nginx")
		return
	}
	if len(args) == 1 && strings.ContainsAny(args[0].text, " \n") {
		s.fault(begin, "", "the command line is one word", "write it without quotes around all of it, as for a shell: unitc convert -- "+args[0].text)
		return
	}
	engine := path.Base(args[0].text)
	if !slices.Contains([]string{"docker", "podman", "nerdctl"}, engine) {
		s.fault(args[0].at, args[0].text, "neither docker nor podman", "write for example: unitc convert -- docker run -d --name web nginx")
		return
	}
	d := s.newDef("", begin)
	d.podman = engine == "podman"
	args = d.verb(args[1:])
	if args == nil {
		return
	}
	rest := d.options(args)
	if len(rest) == 0 {
		s.fault(begin, "", "no image", "write the whole command: options, image, command")
		return
	}
	d.fromCommand(engine, rest)
}

// verb passes over options of the engine and takes the verb, nil if it is none that
// makes a container.
func (d *def) verb(args []arg) []arg {
	for len(args) > 0 && strings.HasPrefix(args[0].text, "-") {
		count := 1
		if slices.Contains(globalWithValue, args[0].text) {
			count = 2
		}
		d.lost(args[0].named(), "options of the engine itself", "")
		args = args[min(count, len(args)):]
	}
	if len(args) > 0 && args[0].text == "container" {
		args = args[1:]
	}
	if len(args) == 0 || args[0].text != "run" && args[0].text != "create" {
		at := place{file: commandLine, line: 1, col: 1}
		cure := "a docker compose file needs no conversion: unitc check compose.yaml"
		d.set.report(diag.Error, diag.RuleValue, at, "", "neither docker run nor podman run", cure)
		return nil
	}
	if len(args) == 1 {
		return []arg{}
	}
	return args[1:]
}

func (a arg) named() arg {
	a.name, _, _ = strings.Cut(a.text, "=")
	return a
}

// options takes those in front and gives what follows them: image and command.
func (d *def) options(args []arg) []arg {
	for len(args) > 0 {
		a := args[0]
		switch {
		case a.text == "--":
			return args[1:]
		case len(a.text) < 2 || a.text[0] != '-':
			return args
		case strings.HasPrefix(a.text, "--"):
			args = d.longOption(a, args[1:])
		default:
			args = d.letters(a, args[1:])
		}
	}
	return nil
}

func (d *def) longOption(a arg, rest []arg) []arg {
	name, text, given := strings.Cut(a.text[2:], "=")
	o, a := optionOf(name), a.named()
	switch {
	case o == nil || o.name == "seccomp-file":
		d.lost(a, "an option that is not known", "see docker-run(1), podman-run(1)")
		return rest
	case o.flag && !given:
		text = "true"
	case !o.flag && !given && len(rest) > 0:
		text, rest = rest[0].text, rest[1:]
	case !o.flag && !given:
		d.lost(a, "the option has no value", "")
		return rest
	}
	o.do(d, a.with(text))
	return rest
}

// letters reads -d, -it, -p80:80, -p 80:80.
func (d *def) letters(a arg, rest []arg) []arg {
	for at := 1; at < len(a.text); at++ {
		letter := a.text[at : at+1]
		o := optionOfLetter(letter)
		one := a
		one.name = "-" + letter
		if o == nil {
			d.lost(one, "an option that is not known", "see docker-run(1), podman-run(1)")
			return rest
		}
		if value, given := strings.CutPrefix(a.text[at+1:], "="); o.flag && given {
			o.do(d, one.with(value))
			return rest
		}
		if o.flag {
			o.do(d, one.with("true"))
			continue
		}
		text := strings.TrimPrefix(a.text[at+1:], "=")
		if text == "" && len(rest) > 0 {
			text, rest = rest[0].text, rest[1:]
		}
		o.do(d, one.with(text))
		return rest
	}
	return rest
}

// fromCommand has the image, the name and the command.
func (d *def) fromCommand(engine string, rest []arg) {
	image := rest[0]
	image.name = "the image"
	d.setText("image", image, image.text)
	d.localImage(image)
	if len(rest) > 1 {
		var command []string
		for _, a := range rest[1:] {
			command = append(command, a.text)
		}
		a := rest[1]
		a.name = "the command"
		d.addWords("command", a, command)
	}
	d.name = imageName(image.text)
	if name := d.root.get("container_name"); name != nil {
		d.name = name.text
		d.root.pairs = slices.DeleteFunc(d.root.pairs, func(p pair) bool { return p.key == "container_name" })
	}
	d.title = engine + " run " + d.name
	d.private = d.root.get("environment") != nil // as passwords are given there
	d.finish()
	d.set.add(d)
}

// imageName is the last part of an image's name: web of example.com/web:1.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	base := path.Base(image)
	base, _, _ = strings.Cut(base, ":")
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, base)
}
