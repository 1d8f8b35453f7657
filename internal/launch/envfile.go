// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/envfile"
	"github.com/unitc/unitc/internal/planner"
)

// maxEnvFile bounds an env file, in bytes; execve(2) takes less.
const maxEnvFile = 1 << 20

// readEnvFiles reads `env_file:` at each start, as systemd does with
// EnvironmentFile=. A line that has no value takes the one from outside or is none.
func readEnvFiles(s *definition.Service) ([][]definition.Env, error) {
	outside := variables{service: s}
	var all [][]definition.Env
	for i, e := range s.EnvFiles {
		vars, err := readEnvFile(e, outside.lookup, true)
		if err = errors.Join(err, outside.err); err != nil {
			return nil, &planner.KeyError{Key: fmt.Sprintf("env_file[%d]", i), What: err.Error(), Cure: "correct the path, or write `required: false`"}
		}
		given := vars[:0]
		for _, v := range vars {
			if v.Value == nil {
				value, ok := outside.lookup(v.Name)
				if !ok {
					continue
				}
				v.Value = &value
			}
			given = append(given, v)
		}
		all = append(all, given)
	}
	return all, nil
}

// variables are what the files of `env_file:` may use beside their own: those of
// the files beside the definition, which are read when the first is asked for, and
// those under `environment:`.
type variables struct {
	service *definition.Service
	read    bool
	beside  map[string]string
	err     error
}

func (v *variables) lookup(name string) (string, bool) {
	if !v.read {
		v.read = true
		if v.beside, v.err = besideDefinition(v.service.Source.File, v.service.OwnVariables); v.err == nil {
			v.err = addIncluded(v.beside, v.service.Variables)
		}
	}
	if value, ok := v.beside[name]; ok {
		return value, true
	}
	for _, e := range v.service.Environment {
		if e.Name == name && e.Value != nil {
			return *e.Value, true
		}
	}
	return "", false
}

// addIncluded adds what the file that was included has of its own.
func addIncluded(all map[string]string, lists [][]string) error {
	for _, list := range lists {
		own := map[string]string{}
		lookup := func(name string) (string, bool) {
			value, ok := all[name]
			if !ok {
				value, ok = own[name]
			}
			return value, ok
		}
		for _, file := range list {
			vars, err := readEnvFile(definition.EnvFile{Path: file, Optional: true}, lookup, true)
			if err != nil {
				return err
			}
			for _, v := range vars {
				if v.Value != nil {
					own[v.Name] = *v.Value
				}
			}
		}
		for name, value := range own {
			if _, known := all[name]; !known {
				all[name] = value
			}
		}
	}
	return nil
}

// besideDefinition reads .env and NAME.env, which wins, or what is in its place.
func besideDefinition(file, own string) (map[string]string, error) {
	all := map[string]string{}
	if file == "" {
		return all, nil // it stands in none
	}
	name := strings.TrimSuffix(path.Base(file), path.Ext(file))
	dir := path.Dir(file)
	for _, at := range []string{path.Join(dir, ".env"), cmp.Or(own, path.Join(dir, strings.TrimSuffix(name, "@")+".env"))} {
		earlier := func(name string) (string, bool) { value, ok := all[name]; return value, ok }
		vars, err := readEnvFile(definition.EnvFile{Path: at, Optional: true}, earlier, false)
		if err != nil {
			return nil, err
		}
		for _, v := range vars {
			if v.Value != nil {
				all[v.Name] = *v.Value
			}
		}
	}
	return all, nil
}

// readEnvFile reads one file; above has outside asked before it. O_NONBLOCK keeps a FIFO of that name from hanging the start.
func readEnvFile(e definition.EnvFile, outside func(string) (string, bool), above bool) ([]definition.Env, error) {
	f, err := os.OpenFile(e.Path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) && e.Optional {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", e.Path))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxEnvFile {
		return nil, fmt.Errorf("%s is larger than %d KiB", e.Path, maxEnvFile>>10)
	}
	vars, problems := envfile.Parse(envfile.File{Path: e.Path, Data: data, Raw: e.Raw, Lookup: outside, Above: above})
	if problems.HasErrors() {
		return nil, errors.New(strings.TrimSpace(problems.String()))
	}
	return vars, nil
}
