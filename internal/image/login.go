// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/unitc/unitc/internal/realm"
	"github.com/unitc/unitc/internal/reference"
)

// ErrCredentials is the base of the error for a user or a password that a registry does
// not take.
var ErrCredentials = errors.New("the registry does not take this user and password")

// Account is where somebody logs in: a registry, or a part of one.
type Account struct {
	// Key files the credentials in an auth.json: "quay.io", "quay.io/org".
	Key   string
	place endpoint
}

// ParseAccount reads what an operator calls a registry: HOST[:PORT][/PATH], also as a
// URL, as docker login takes it. registries.conf says where that is and how it is
// spoken to ("" = the usual one).
func ParseAccount(text, registriesFile string) (Account, error) {
	ref, path, err := parseRegistry(text)
	if err != nil {
		return Account{}, err
	}
	conf, err := LoadRegistries(registriesFile)
	if err != nil {
		return Account{}, err
	}
	ref.Path, ref.Tag = path, ""
	endpoints, err := conf.endpoints(ref)
	if err != nil {
		return Account{}, err
	}
	// The registry itself: a mirror has an account of its own.
	a := Account{place: endpoints[len(endpoints)-1]}
	a.place.path = strings.Trim(a.place.path, "/")
	a.Key = strings.TrimSuffix(a.place.host+"/"+a.place.path, "/")
	return a, nil
}

// parseRegistry gives a reference with the registry's host, and the path behind it.
func parseRegistry(text string) (ref reference.Reference, path string, err error) {
	name, isURL := text, false
	for _, scheme := range []string{"https://", "http://"} {
		if rest, ok := strings.CutPrefix(name, scheme); ok {
			name, isURL = rest, true
		}
	}
	name = strings.TrimSuffix(name, "/")
	if isURL {
		name = strings.TrimSuffix(strings.TrimSuffix(name, "/v1"), "/v2")
	}
	host, path, _ := strings.Cut(name, "/")
	rest := path
	if rest == "" {
		rest = "any"
	}
	if ref, err = reference.Parse(host + "/" + rest); err != nil {
		return ref, "", fmt.Errorf("registry %q: %w", text, err)
	}
	switch {
	case ref.Short != "":
		return ref, "", fmt.Errorf("registry %q: want a host, as registry.example.com or localhost:5000; Docker Hub is docker.io", text)
	case ref.Digest != "" || ref.Tag != reference.DefaultTag || strings.HasSuffix(path, ":"+reference.DefaultTag):
		return ref, "", fmt.Errorf("registry %q: that is an image; its registry is %s", text, ref.Host)
	}
	return ref, path, nil
}

// Check shows the credentials to the registry. asked is false where that wants none: then
// nobody knows whether they are right.
func (a Account) Check(ctx context.Context, user, password string) (asked bool, err error) {
	fail := func(err error) (bool, error) {
		if isRefused(err) {
			return true, fmt.Errorf("%s: %w; with a second factor it wants a token in the place of the password", a.place.host, ErrCredentials)
		}
		return false, fmt.Errorf("registry %s: %w", a.place.host, explain(err))
	}
	reg, err := a.place.libraryName()
	if err != nil {
		return false, err
	}
	base, err := baseTransport(a.place)
	if err != nil {
		return fail(err)
	}
	challenge, err := transport.Ping(ctx, reg, base)
	if err != nil {
		return fail(err)
	}
	rt, err := transport.NewWithContext(ctx, reg, &authn.Basic{Username: user, Password: password}, base, nil)
	if err != nil {
		return fail(err)
	}
	r := &registry{endpoint: a.place, auth: rt}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+reg.RegistryStr()+"/v2/", nil)
	if err != nil {
		return fail(err)
	}
	resp, err := (&http.Client{Transport: rt, CheckRedirect: r.redirect}).Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return fail(err)
	}
	return challenge.Scheme != "", nil
}

// LoginFile is where credentials are kept unless a file is named: it is read before the
// other places, at boot too, where /run is empty. named says that the environment names
// it, which units do not have.
func LoginFile() (path string, named bool) {
	if f := os.Getenv("REGISTRY_AUTH_FILE"); f != "" {
		return f, true
	}
	return realm.Config + "/auth.json", false
}

// keys are all under which the account's credentials may stand, its own first.
func (a Account) keys() []string {
	if a.place.path != "" {
		return []string{a.Key}
	}
	return append([]string{a.Key}, otherKeys(a.place.host)...)
}

// Login keeps credentials in a file.
func (a Account) Login(ctx context.Context, path, user, password string) error {
	return editAuthFile(path, func(d *authDocument) (bool, error) { return true, d.put(ctx, a.keys(), user, password) })
}

// Logout takes them out of a file again; false if there are none.
func (a Account) Logout(ctx context.Context, path string) (had bool, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	err = editAuthFile(path, func(d *authDocument) (bool, error) {
		had, err = d.remove(ctx, a.keys())
		return had, err
	})
	return had, err
}

// LogoutAll takes all credentials out of a file, and gives the keys that they had.
func LogoutAll(ctx context.Context, path string) (keys []string, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	err = editAuthFile(path, func(d *authDocument) (bool, error) {
		keys = d.keys()
		return d.remove(ctx, keys)
	})
	return keys, err
}

// Kept gives the keys that a file has.
func Kept(path string) ([]string, error) {
	d, err := readAuthDocument(path)
	if err != nil {
		return nil, err
	}
	return d.keys(), nil
}

// From is the file whose credentials a pull shows there; "" = it shows none.
func (a Account) From(ctx context.Context) (string, error) {
	_, from, err := credentials(ctx, "", a.place.host, a.place.path)
	return from, err
}
