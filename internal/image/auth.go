// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/realm"
)

// authFile is an auth.json or config.json (containers-auth.json(5)).
type authFile struct {
	Auths map[string]struct {
		Auth          string `json:"auth"`
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	} `json:"auths"`
	CredHelpers map[string]string `json:"credHelpers"`
	CredsStore  string            `json:"credsStore"`
}

// hubKey is under what Docker files its own registry.
const hubKey = "https://index.docker.io/v1/"

// authPaths gives the files to look into, in order. A system service has no
// home and no session: then the files in /etc and /run and the service's own
// credentials (LoadCredential=registry-auth:…) remain.
func authPaths() []string {
	var paths []string
	add := func(dir, name string) {
		if dir != "" {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	if f := os.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		return []string{f}
	}
	add(os.Getenv("CREDENTIALS_DIRECTORY"), "registry-auth")
	add(realm.Config, "auth.json")
	add(runtimeDir(), "containers/auth.json")
	if realm.Own() == nil {
		add("/run/containers/0", "auth.json")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	add(os.Getenv("XDG_CONFIG_HOME"), "containers/auth.json")
	add(home, ".config/containers/auth.json")
	add(os.Getenv("DOCKER_CONFIG"), "config.json")
	add(home, ".docker/config.json")
	return paths
}

// runtimeDir is the session's directory. It is its owner's alone (XDG Base Directory
// Specification): root by way of su(1) has the variable of who called it, who would
// choose what root pulls with, and what it runs for that.
func runtimeDir() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	var st unix.Stat_t
	if dir == "" || unix.Stat(dir, &st) != nil || int(st.Uid) != os.Geteuid() {
		return ""
	}
	return dir
}

// credentials finds what to show to a registry for a repository, and the file that it
// is from; none found means an anonymous pull.
func credentials(ctx context.Context, explicit, host, repository string) (show authn.Authenticator, from string, err error) {
	paths, read := authPaths(), readConf
	if explicit != "" {
		paths, read = []string{explicit}, os.ReadFile
	}
	for _, p := range paths {
		data, err := read(p)
		if errors.Is(err, fs.ErrNotExist) && explicit == "" {
			continue
		}
		var f authFile
		if err == nil && len(data) > 0 { // a masked one says nothing
			err = json.Unmarshal(data, &f)
		}
		if err != nil {
			return nil, "", fmt.Errorf("reading credentials %s: %w", p, err)
		}
		c, err := f.find(ctx, host, repository)
		if err != nil {
			return nil, "", fmt.Errorf("credentials of %s for %s: %w", p, host, err)
		}
		if c != nil {
			return authn.FromConfig(*c), p, nil
		}
	}
	return authn.Anonymous, "", nil
}

// find looks for the most particular key: the repository, each parent of it,
// the host.
func (f *authFile) find(ctx context.Context, host, repository string) (*authn.AuthConfig, error) {
	for key := host + "/" + repository; ; {
		if c, err := f.entry(ctx, key); c != nil || err != nil {
			return c, err
		}
		i := strings.LastIndexByte(key, '/')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	for _, key := range otherKeys(host) {
		if c, err := f.entry(ctx, key); c != nil || err != nil {
			return c, err
		}
	}
	if f.CredsStore != "" {
		return fromHelper(ctx, f.CredsStore, host)
	}
	return nil, nil
}

// otherKeys are the URLs that old versions of docker login wrote.
func otherKeys(host string) []string {
	if host == "docker.io" {
		return []string{hubKey, "index.docker.io", "registry-1.docker.io"}
	}
	return []string{"https://" + host, "https://" + host + "/v1/", "https://" + host + "/v2/", "http://" + host}
}

func (f *authFile) entry(ctx context.Context, key string) (*authn.AuthConfig, error) {
	if helper := f.CredHelpers[key]; helper != "" {
		return fromHelper(ctx, helper, key)
	}
	e, ok := f.Auths[key]
	if !ok {
		return nil, nil
	}
	c := &authn.AuthConfig{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken, RegistryToken: e.RegistryToken}
	if e.Auth != "" {
		plain, err := base64.StdEncoding.DecodeString(e.Auth)
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", key, err)
		}
		user, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
		if !ok {
			return nil, fmt.Errorf("entry %q: auth is not base64 of user:password", key)
		}
		c.Username, c.Password = user, password
	}
	if *c == (authn.AuthConfig{}) {
		if f.CredsStore != "" {
			return fromHelper(ctx, f.CredsStore, key)
		}
		return nil, nil
	}
	return c, nil
}

// fromHelper asks docker-credential-NAME for what it has of a registry.
func fromHelper(ctx context.Context, helper, server string) (*authn.AuthConfig, error) {
	out, err := runHelper(ctx, helper, "get", []byte(server))
	if errors.Is(err, errNoneInHelper) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var answer struct{ Username, Secret string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("credential helper docker-credential-%s: %w", helper, err)
	}
	if answer.Username == "<token>" {
		return &authn.AuthConfig{IdentityToken: answer.Secret}, nil
	}
	return &authn.AuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

// errNoneInHelper is what a credential helper says of a registry that it does not know.
var errNoneInHelper = errors.New("credentials not found")

// runHelper runs docker-credential-NAME. The name comes from a file of the
// administrator, but a path in it would run anything.
func runHelper(ctx context.Context, helper, action string, input []byte) ([]byte, error) {
	if helper == "" || strings.Trim(helper, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		return nil, fmt.Errorf("credential helper %q: not a plain name", helper)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-credential-"+helper, action)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if strings.Contains(string(out)+stderr.String(), errNoneInHelper.Error()) {
			return nil, errNoneInHelper
		}
		return nil, fmt.Errorf("credential helper docker-credential-%s: %w: %s", helper, err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}
