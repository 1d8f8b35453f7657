// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/compose"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/diag"
	"github.com/unitc/unitc/internal/interpolate"
	"github.com/unitc/unitc/internal/loader"
	"github.com/unitc/unitc/internal/regular"
	"github.com/unitc/unitc/internal/searchpath"
	"github.com/unitc/unitc/internal/syntax"
	"github.com/unitc/unitc/internal/syntax/library"
)

// Candidate is a definition that is to be installed.
type Candidate struct {
	Name string // web
	Path string // where it stands now; "-" = standard input
	Data []byte
	Env  []searchpath.Layer // variables that stand beside it: .env, then NAME.env, which wins
	// Overrides are merged over it: those that COMPOSE_FILE names, or the one beside a
	// compose file that Compose merges without being told.
	Overrides []searchpath.Layer
	// others are faults of files that Compose would merge as well.
	others diag.List
	// project tells that Compose gives it the name, and reads .env alone.
	project bool
	// Directory is where its relative paths begin once it is installed, as a line
	// says that Check has added; "" = it needs none.
	Directory string
	// Named are the files that it extends and includes, those of labels and of included
	// variables: by their absolute paths, as Check has found them. Copies of them are
	// installed with it.
	Named []Named
	Mode  fs.FileMode
	File  definition.File
}

// Named is a file that a definition names and whose content is part of its meaning.
type Named struct {
	Path string
	Data []byte
	Mode fs.FileMode
}

// maxNamed bounds what is copied of such files, in bytes.
const maxNamed = 16 << 20

// ReadCandidate reads a file for installation under a name, "" for its own.
func ReadCandidate(path, name string, stdin io.Reader) (*Candidate, error) {
	c := &Candidate{Name: name, Path: path, Mode: 0o644}
	var err error
	if path == "-" {
		if name == "" {
			return nil, errors.New("a definition on standard input has no name; give --name")
		}
		c.Data, err = io.ReadAll(io.LimitReader(stdin, searchpath.MaxSize+1))
		return c, err
	}
	if c.Path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	var mode fs.FileMode
	if c.Data, mode, err = regular.Read(c.Path); err != nil {
		return nil, err
	}
	// Nobody but its owner may read a definition that only its owner could read.
	c.Mode = mode & 0o644
	vars, err := c.variablesBeside()
	if err != nil {
		return nil, err
	}
	_, files := c.composeFiles(vars)
	c.project = isWhole(c.Path) || len(files) > 0 && files[0] == c.Path
	if c.project {
		c.warnShell(vars, name != "")
	}
	if name == "" {
		if c.Name = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(c.Path), ".yaml"), ".yml"); c.project {
			c.Name = c.projectName(vars)
		}
	}
	size := 0
	for _, name := range []string{".env", c.envName()} {
		layer, err := c.readBeside([]string{name})
		if err != nil {
			return nil, err
		}
		if layer != nil {
			c.Env = append(c.Env, *layer)
			size += len(layer.Data)
		}
	}
	if size > searchpath.MaxSize {
		return nil, fmt.Errorf("the variables beside %s have %d bytes, at most %d are read", path, size, searchpath.MaxSize)
	}
	return c, c.readOverrides(vars)
}

// EnvData is what its variables are installed as: one file.
func (c *Candidate) EnvData() []byte {
	if len(c.Env) == 1 {
		return c.Env[0].Data
	}
	var data []byte
	for _, layer := range c.Env {
		text := bytes.TrimPrefix(layer.Data, []byte("\ufeff"))
		data = fmt.Appendf(data, "# Of %s:\n%s\n", strings.ReplaceAll(layer.Path, "\n", " "), bytes.TrimRight(text, "\n"))
	}
	return data
}

// projectName is what Compose would call the project: as .env says, as the file says
// or else as the directory is called.
func (c *Candidate) projectName(vars map[string]string) string {
	for _, name := range []string{vars["COMPOSE_PROJECT_NAME"], c.writtenName(vars)} {
		if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" && strings.Trim(name[:1], "_-") != "" {
			return name
		}
	}
	return directoryName(filepath.Base(filepath.Dir(c.Path)))
}

// writtenName is the value of name: at the left margin, "" without one.
func (c *Candidate) writtenName(vars map[string]string) string {
	documents, _ := library.Full.YAML(c.Data, 1)
	if len(documents) == 0 || len(documents[0].Content) == 0 || documents[0].Content[0].Kind != syntax.Mapping {
		return ""
	}
	pairs := documents[0].Content[0].Content
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i].Value != "name" || pairs[i+1].Kind != syntax.Scalar {
			continue
		}
		x := interpolate.Expander{Lookup: func(name string) (string, bool) { value, ok := vars[name]; return value, ok }, Limit: 1 << 10}
		name, _ := x.Expand(pairs[i+1].Value)
		return name
	}
	return ""
}

// directoryName is a directory's name in small letters and without what can't stand in a
// project's name, as Compose has it.
func directoryName(dir string) string {
	kept := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			return c
		}
		return -1
	}, strings.ToLower(dir))
	if kept = strings.TrimLeft(kept, "-_"); kept == "" {
		return dir // which is told
	}
	return kept
}

// readBeside takes the first of these that stands beside the file, nil if none does.
func (c *Candidate) readBeside(names []string) (*searchpath.Layer, error) {
	for _, name := range names {
		path := filepath.Join(filepath.Dir(c.Path), name)
		data, _, err := regular.Read(path)
		if _, missing := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && missing != nil {
			continue // a link to nothing is a fault
		}
		if err != nil {
			return nil, err
		}
		return &searchpath.Layer{Path: path, Data: data}, nil
	}
	return nil, nil
}

// As changes what was found of the file to what would be installed of it.
func (c *Candidate) As(src *searchpath.Source) {
	if c.Name != src.Name {
		src.Env = c.Env
	}
	src.Rename(c.Name)
	src.Problems = append(src.Problems, c.others...)
	src.EnvName = c.envHint()
	if len(src.Layers) > 0 {
		src.Layers = slices.Insert(src.Layers, 1, c.Overrides...)
	}
}

// envHint is the file for variables where it stands now; "" = NAME.env.
func (c *Candidate) envHint() string {
	if c.project || len(c.Env) == 1 && filepath.Base(c.Env[0].Path) == ".env" {
		return ".env"
	}
	return ""
}

// Target is where it will stand.
func (c *Candidate) Target() string { return searchpath.Dirs[0] + "/" + c.Name + ".yaml" }

// EnvTarget is where its variables will stand.
func (c *Candidate) EnvTarget() string { return searchpath.Dirs[0] + "/" + c.envName() }

func (c *Candidate) envName() string { return strings.TrimSuffix(c.Name, "@") + ".env" }

// FilesTarget is the directory where copies of the files that it names will stand.
func (c *Candidate) FilesTarget() string { return copiesIn(searchpath.Dirs[0], c.Name) }

func copiesIn(dir, name string) string { return dir + "/" + name + searchpath.EndCopies }

// source is what searchpath would find if it stood in dir.
func (c *Candidate) source(dir string) searchpath.Source {
	src := searchpath.Source{Name: c.Name, Path: c.Path, Dir: dir, Layers: []searchpath.Layer{{Path: c.Path, Data: c.Data}}}
	src.Layers = append(src.Layers, c.Overrides...)
	src.Env, src.EnvName = c.Env, c.envHint()
	src.Problems = c.others
	return src
}

// here reads it where it stands, and the files that it names.
func (c *Candidate) here() (definition.File, []Named, error) {
	src := c.source(filepath.Dir(c.Path))
	src.Files = c.copies()
	var read []searchpath.Layer
	src.Named = &read
	file := loader.Parse(src, library.Full)
	var list []Named
	size := 0
	for _, l := range read {
		n := Named{Path: strings.TrimPrefix(l.Path, src.Files), Data: l.Data, Mode: 0o600} // it may hold passwords
		if ext := filepath.Ext(l.Path); ext == ".yaml" || ext == ".yml" {
			st, err := os.Stat(l.Path)
			if err != nil {
				return file, nil, err
			}
			n.Mode = st.Mode().Perm() & 0o644
		}
		if size += len(l.Data); size > maxNamed {
			return file, nil, fmt.Errorf("the files that %s names have more than %d MiB together; name fewer of them", c.Path, maxNamed>>20)
		}
		list = append(list, n)
	}
	return file, list, nil
}

// copies are those that it has where it stands, as one that was installed has.
func (c *Candidate) copies() string {
	base, found := strings.CutSuffix(c.Path, ".yaml")
	if st, err := os.Stat(base + searchpath.EndCopies); !found || err != nil || !st.IsDir() {
		return ""
	}
	return base + searchpath.EndCopies
}

// there reads it as if it stood in dir, with copies of the files that it names.
func (c *Candidate) there(dir string) definition.File {
	src := c.source(dir)
	if len(c.Named) > 0 {
		src.Files, src.Copies = copiesIn(dir, c.Name), map[string][]byte{}
		for _, n := range c.Named {
			src.Copies[src.Files+n.Path] = n.Data
		}
	}
	return loader.Parse(src, library.Full)
}

// Check finds faults, and paths that would mean another file in dir, where it will
// stand: it adds a line that says where they begin.
func (c *Candidate) Check(dir string) (diag.List, error) {
	if c.Path == "-" {
		c.File = c.there(dir)
		return c.File.Problems, nil
	}
	here, named, err := c.here()
	inPlace := filepath.Dir(c.Path) == dir && (c.Path == dir+"/"+c.Name+".yaml" || c.copies() == "")
	if c.File = here; err != nil || here.StartProblems().HasErrors() || inPlace {
		return here.Problems, err
	}
	c.Named = named
	c.File = c.there(dir)
	fields, err := c.moved(here)
	if err != nil || len(fields) == 0 {
		return here.Problems, err
	}
	before, data := c.File, c.Data
	c.Directory = filepath.Dir(c.Path)
	line := compose.Directory(c.Directory)
	for _, placed := range []func([]byte, string) []byte{atEnd, atFirstKey} {
		if c.Data = placed(data, line); c.Data == nil {
			continue
		}
		c.File = c.there(dir)
		if left, err := c.moved(here); err != nil || len(left) == 0 {
			return here.Problems, err
		}
	}
	c.File, c.Data, c.Directory = before, data, ""
	return here.Problems, fmt.Errorf("%s has paths that begin at its directory and would mean others in %s: %s; write absolute paths, or put it there with what it names",
		c.Path, dir, strings.Join(fields, ", "))
}

// WriteFiles makes a directory with the copies.
func (c *Candidate) WriteFiles(dir string) error {
	for _, n := range c.Named {
		if err := os.MkdirAll(filepath.Dir(dir+n.Path), 0o755); err != nil {
			return err
		}
		if err := writeSynced(dir+n.Path, n.Data, n.Mode); err != nil {
			return err
		}
	}
	return nil
}

// HasFiles tells whether a directory has these copies and no other file.
func (c *Candidate) HasFiles(dir string) bool {
	count := 0
	err := filepath.WalkDir(dir, func(path string, item fs.DirEntry, err error) error {
		if err != nil || item.IsDir() {
			return err
		}
		count++
		i := slices.IndexFunc(c.Named, func(n Named) bool { return dir+n.Path == path })
		if i < 0 || !item.Type().IsRegular() {
			return fs.ErrExist
		}
		data, err := os.ReadFile(path)
		if err == nil && !bytes.Equal(data, c.Named[i].Data) {
			err = fs.ErrExist
		}
		return err
	})
	return err == nil && count == len(c.Named)
}

func writeSynced(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return cmp.Or(err, f.Close())
}

// atEnd leaves all lines where they are.
func atEnd(data []byte, line string) []byte {
	return append(slices.Clip(bytes.TrimRight(data, "\n")), "\n"+line+"\n"...)
}

// atFirstKey makes it the first key, where nothing can follow the last: in braces,
// with an indent, before an end of the document. nil = there is no key.
func atFirstKey(data []byte, line string) []byte {
	documents, _ := library.Full.YAML(data, 1)
	if len(documents) == 0 || len(documents[0].Content) == 0 || len(documents[0].Content[0].Content) == 0 {
		return nil
	}
	root := documents[0].Content[0]
	key := root.Content[0]
	lines := bytes.SplitAfter(data, []byte("\n"))
	if root.Kind != syntax.Mapping || key.Line < 1 || key.Line > len(lines) {
		return nil
	}
	text := []rune(string(lines[key.Line-1]))
	if key.Column < 1 || key.Column > len(text) {
		return nil
	}
	before, after := string(text[:key.Column-1]), string(text[key.Column-1:])
	separator := "\n" + before
	if strings.TrimSpace(before) != "" || inBraces(root, lines) {
		separator = ", "
	}
	lines[key.Line-1] = []byte(before + line + separator + after)
	return bytes.Join(lines, nil)
}

// inBraces tells that a mapping begins with one.
func inBraces(root *syntax.Node, lines [][]byte) bool {
	text := []rune(string(lines[root.Line-1]))
	return root.Column <= len(text) && text[root.Column-1] == '{'
}

// moved gives what is not as it is here where it will stand.
func (c *Candidate) moved(here definition.File) ([]string, error) {
	fields, err := moved(here, c.File)
	problems := c.File.StartProblems()
	if i := slices.IndexFunc(problems, func(p diag.Problem) bool { return p.Severity == diag.Error }); i >= 0 {
		// A file that it extends or includes: what follows from that is no news.
		p := problems[i]
		fields = []string{fmt.Sprintf("line %d, %s: %s", p.Line, p.Path, p.What)}
	}
	return fields, err
}
