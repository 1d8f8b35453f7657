// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/credential"
	"github.com/unitc/unitc/internal/definition"
	"github.com/unitc/unitc/internal/planner"
	"github.com/unitc/unitc/internal/realm"
)

// maxSecret bounds a secret or config, in bytes; it is that of systemd's
// credentials.
const maxSecret = 1 << 20

// maxEncrypted bounds one that systemd-creds(1) has encrypted, as base64.
const maxEncrypted = maxSecret + maxSecret/2

// readSecrets reads what the plan's files hold. It stays in this process's
// memory: no plan, no environment, no message has it.
func (s *starter) readSecrets() error {
	for i, g := range planner.Grants(s.service) {
		key := fmt.Sprintf("secrets[%d]", i)
		if i >= len(s.service.Secrets) {
			key = fmt.Sprintf("configs[%d]", i-len(s.service.Secrets))
		}
		content, err := readGrant(&g, key)
		if err != nil {
			return err
		}
		s.contents = append(s.contents, content)
	}
	return nil
}

// ErrCredential is what systemd alone can read, for a unit that starts.
var ErrCredential = errors.New("a credential of systemd's")

// GrantContent is what a start would give now as a secret or config.
func GrantContent(g *definition.Grant) ([]byte, error) {
	if g.Content == nil && g.File == "" && g.Environment == "" {
		return nil, ErrCredential
	}
	return readGrant(g, g.Source)
}

func readGrant(g *definition.Grant, key string) ([]byte, error) {
	switch {
	case g.Content != nil:
		return []byte(*g.Content), nil
	case g.File != "":
		content, err := readSmall(g.File)
		if err != nil {
			return nil, &planner.KeyError{Key: key, What: err.Error(), Cure: "correct the path, or put the file there"}
		}
		return content, nil
	case g.Environment != "":
		return readVariable(g, key)
	}
	return readCredential(g, key)
}

// readVariable looks a variable up in the files beside the definition, never in
// this process's own environment.
func readVariable(g *definition.Grant, key string) ([]byte, error) {
	for _, path := range g.EnvFiles {
		vars, err := readEnvFile(definition.EnvFile{Path: path, Optional: true}, nil, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		for _, v := range vars {
			if v.Name == g.Environment && v.Value != nil {
				return []byte(*v.Value), nil
			}
		}
	}
	return nil, &planner.KeyError{Key: key, What: "no file beside the definition sets " + g.Environment, Cure: "set it in " + g.EnvFiles[0]}
}

// readCredential reads what systemd has decrypted for the unit (systemd.exec(5),
// LoadCredentialEncrypted=).
func readCredential(g *definition.Grant, key string) ([]byte, error) {
	if realm.Own() != nil {
		return readUsersCredential(g, key)
	}
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		content, err := readSmall(dir + "/" + g.Name)
		if !errors.Is(err, fs.ErrNotExist) {
			return content, err
		}
	}
	return nil, &planner.KeyError{Key: key, What: "the system has no credential " + g.Name, Cure: "set it with `unitc secret set " + g.Name + "`"}
}

// readUsersCredential has systemd decrypt one for the user.
func readUsersCredential(g *definition.Grant, key string) ([]byte, error) {
	refused := func(what, cure string) ([]byte, error) {
		return nil, &planner.KeyError{Key: key, What: what, Cure: cure}
	}
	if err := credential.Available(); err != nil {
		return refused(err.Error(), "write `file:` or `environment:` in the project's secrets")
	}
	blob, from := []byte(g.Encrypted), "encrypted"
	if g.Encrypted == "" || g.Encrypted[0] == '/' {
		from = cmp.Or(g.Encrypted, realm.Credentials()+"/"+g.Name)
		var err error
		blob, err = readUpTo(from, maxEncrypted)
		switch {
		case errors.Is(err, fs.ErrNotExist) && g.Encrypted == "":
			return refused("the user has no secret "+g.Name, "set it with `unitc secret set "+g.Name+"`")
		case err != nil:
			return refused(err.Error(), "correct the path, or put the file there")
		}
	}
	content, err := credential.Decrypt(g.Name, blob)
	var not *credential.RefusedError
	if errors.As(err, &not) {
		return refused(from+": "+err.Error(), "encrypt it anew: `unitc secret set "+g.Name+"`, or `systemd-creds encrypt --user --name="+g.Name+"`")
	}
	if err == nil && len(content) > maxSecret {
		err = fmt.Errorf("%s is larger than %d KiB", from, maxSecret>>10)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", key, from, err)
	}
	return content, nil
}

func readSmall(path string) ([]byte, error) { return readUpTo(path, maxSecret) }

func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", path))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d KiB", path, limit>>10)
	}
	return data, err
}
