// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/unitc/unitc/internal/buildinfo"
	"github.com/unitc/unitc/internal/cli/catalog"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/unitfile"
)

// Prefix of the directories of ad-hoc containers; listings leave hidden names
// beside those of what runs alone.
func Prefix() string { return realm.Run + "/.run-" }

// Unit is the files of one container.
type Unit struct {
	Name   string // run-x.service
	Socket string
	dir    string
	files  []catalog.File
	made   []string
	held   *os.File
	kept   bool
}

// maxName leaves room in a socket's path, of which 107 bytes are the kernel's.
const maxName = 64

// namePattern is docker's: such a name means itself in the lines of a unit, where
// what removes the files has it as an argument.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Build makes the files; nothing of it is seen by systemd yet.
func Build(o *Options) (*Unit, error) {
	if len(o.Name) > maxName || !namePattern.MatchString(o.Name) {
		return nil, fmt.Errorf("--name %q: want at most %d letters, digits, - and _ and ., a letter or digit first", o.Name, maxName)
	}
	text, err := o.definition()
	if err != nil {
		return nil, err
	}
	more, remarks, err := o.overlay()
	if err != nil {
		return nil, err
	}
	for _, what := range remarks {
		o.Remark(what)
	}
	u := &Unit{Name: o.Name + ".service", dir: Prefix() + o.Name}
	u.Socket = u.dir + "/socket"
	if err := os.MkdirAll(filepath.Dir(u.dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(u.dir, 0o700); err != nil {
		return nil, err
	}
	if u.held, err = hold(u.dir); err == nil {
		err = u.generate(o, text, more)
	}
	if err != nil {
		u.Remove()
		return nil, err
	}
	return u, nil
}

func (u *Unit) generate(o *Options, text, more []byte) error {
	if err := u.write(o, text, more); err != nil {
		return err
	}
	var problems diag.List
	out, err := catalog.DryRun{Dirs: []string{u.dir}, OutDir: u.dir, Parsed: func(f *definition.File) {
		problems = append(problems, f.Problems...)
		for i := range f.Services {
			s := &f.Services[i]
			s.TTY, s.StdinOpen = o.TTY, o.Interactive
			// It runs now and once, with the image that was fetched.
			s.PullPolicy, s.Update, s.System.Timer, s.WaitFor, s.IdleTimeout = definition.PullNever, "", nil, nil, 0
		}
	}}.Run()
	if err != nil {
		return err
	}
	if err := u.refuse(append(problems, out.Problems...)); err != nil {
		return err
	}
	for _, f := range out.Files {
		if f.Target == "" {
			u.files = append(u.files, f)
		}
	}
	return nil
}

// write puts the definition where the generator reads it: a file with the options
// as its drop-in, or the options alone. Further options are one more drop-in.
func (u *Unit) write(o *Options, options, more []byte) error {
	path := u.dir + "/" + o.Name + ".yaml"
	if more != nil {
		err := os.Mkdir(path+".d", 0o700)
		if err == nil {
			err = os.WriteFile(path+".d/options2.yaml", more, 0o600)
		}
		if err != nil {
			return err
		}
	}
	if o.File == nil {
		return os.WriteFile(path, options, 0o600)
	}
	err := os.WriteFile(path, o.File.Data, 0o600)
	if err == nil && len(o.File.Env) > 0 {
		err = os.WriteFile(u.dir+"/"+o.Name+".env", o.File.EnvData(), 0o600)
	}
	if err == nil {
		err = o.File.WriteFiles(u.dir + "/" + o.Name + searchpath.EndCopies)
	}
	if err == nil {
		err = os.MkdirAll(path+".d", 0o700)
	}
	for i, layer := range o.File.Overrides {
		if err == nil {
			err = os.WriteFile(path+".d/"+catalog.OverrideName(i), layer.Data, 0o600)
		}
	}
	if err == nil {
		err = os.WriteFile(path+".d/options.yaml", options, 0o600)
	}
	return err
}

// refuse says what is wrong in the words of options: no file was written by
// anybody.
func (u *Unit) refuse(problems diag.List) error {
	var said []string
	for _, p := range problems {
		if p.Severity != diag.Error {
			continue
		}
		text := p.What
		if p.Path != "" {
			text = p.Path + ": " + text
		}
		if p.Cure != "" {
			text += "; " + p.Cure
		}
		text = u.Words(text)
		if len(said) == 0 || said[len(said)-1] != text {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		return nil
	}
	return errors.New(strings.Join(said, "\n"))
}

// Install puts the files where systemd and the helper look for them.
func (u *Unit) Install() error {
	for _, f := range u.files {
		path := realm.RuntimeUnits() + "/" + f.Path
		if strings.HasPrefix(f.Path, ".") {
			path = u.dir + "/" + f.Path
		}
		data := f.Data
		if f.Path == u.Name {
			data = u.ending(data)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
		if errors.Is(err, fs.ErrExist) && f.Path != u.Name {
			continue // another container's image or network, and the same
		}
		if err != nil {
			return err
		}
		u.made = append(u.made, path)
		_, err = file.Write(data)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ending makes the unit end with its container: what systemd runs last removes its
// files, also where nobody waits for it.
func (u *Unit) ending(text []byte) []byte {
	clean := "" // clean-up tells those who wait how the payload ended
	if !bytes.Contains(text, []byte("\nExecStopPost="+unitfile.Exec(buildinfo.HelperPath)+" ")) {
		words := []string{"clean"}
		if realm.Own() != nil {
			words = []string{"enter", "clean"}
		}
		clean = "ExecStopPost=" + unitfile.Exec(buildinfo.HelperPath, words...) + " %N\n"
	}
	// These have nothing left to say, or to find. systemd keeps the units loaded that
	// name them.
	for _, behind := range []string{"OnFailure=unitc-postmortem.service\n", "OnFailure=unitc-sweep.timer\n", "OnSuccess=unitc-sweep.timer\n", "Wants=unitc-sweep-last.service\n", "After=unitc-sweep-last.service\n"} {
		text = bytes.ReplaceAll(text, []byte(behind), nil)
	}
	text = bytes.ReplaceAll(text, []byte(" clean %N swept\n"), []byte(" clean %N\n"))
	return fmt.Appendf(text, "\n"+mark+"\n[Unit]\nCollectMode=inactive-or-failed\n\n[Service]\nEnvironment=%s\nRestart=no\n%sExecStopPost=-%s\n",
		unitfile.Word("UNITC_SESSION="+u.Socket), clean, unitfile.Exec("/bin/rm", "-rf", "--", u.dir, realm.RuntimeUnits()+"/"+u.Name))
}

// Keep leaves the files to the unit itself.
func (u *Unit) Keep() { u.kept = true }

// Remove takes the files away.
func (u *Unit) Remove() {
	if u.kept {
		return
	}
	for _, path := range u.made {
		_ = os.Remove(path)
	}
	_ = os.RemoveAll(u.dir)
}
