// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/atomicfile"
	"github.com/unitc/unitc/internal/regular"
)

// authDocument is an auth.json that is changed: what is not understood of it stays.
type authDocument struct {
	all     map[string]json.RawMessage
	auths   map[string]json.RawMessage
	helpers map[string]string // credHelpers
	store   string            // credsStore
}

func readAuthDocument(path string) (*authDocument, error) {
	d := &authDocument{all: map[string]json.RawMessage{}}
	data, _, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &d.all)
	}
	for key, into := range map[string]any{"auths": &d.auths, "credHelpers": &d.helpers, "credsStore": &d.store} {
		if raw, ok := d.all[key]; ok && err == nil {
			err = json.Unmarshal(raw, into)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading credentials %s: %w", path, err)
	}
	if d.all == nil {
		d.all = map[string]json.RawMessage{} // the file says null
	}
	if d.auths == nil {
		d.auths = map[string]json.RawMessage{}
	}
	return d, nil
}

// keys are those with credentials in the file itself or in a helper's keeping.
func (d *authDocument) keys() (list []string) {
	for key := range d.auths {
		list = append(list, key)
	}
	for key := range d.helpers {
		if _, ok := d.auths[key]; !ok {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// put keeps credentials where a pull looks for them first: with the helper that the file
// names for one of the keys or for all registries, else in the file.
func (d *authDocument) put(ctx context.Context, keys []string, user, password string) error {
	entry := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	key, helper := keys[0], d.store
	for _, k := range keys {
		if h := d.helpers[k]; h != "" {
			key, helper = k, h
			break
		}
	}
	if helper != "" {
		secret, err := json.Marshal(map[string]string{"ServerURL": key, "Username": user, "Secret": password})
		if err != nil {
			return err
		}
		if _, err := runHelper(ctx, helper, "store", secret); err != nil {
			return err
		}
		entry = nil // it says that the helper has it
	}
	if d.helpers[key] != "" {
		return nil
	}
	raw, err := json.Marshal(entry)
	if entry == nil {
		raw = []byte("{}")
	}
	d.auths[key] = raw
	return err
}

// remove takes out what the keys have, and has helpers forget it.
func (d *authDocument) remove(ctx context.Context, keys []string) (had bool, err error) {
	for _, key := range keys {
		_, in := d.auths[key]
		helper := d.helpers[key]
		if helper == "" && in {
			helper = d.store
		}
		if helper != "" {
			switch _, err := runHelper(ctx, helper, "erase", []byte(key)); {
			case err == nil:
				had = true
			case !errors.Is(err, errNoneInHelper):
				return had, err
			}
		}
		had = had || in
		delete(d.auths, key)
	}
	return had, nil
}

// editAuthFile changes a file as a whole; a second one who does so waits. It is its
// owner's alone: who can read it has the passwords. One with nothing left in it goes.
func editAuthFile(path string, change func(*authDocument) (changed bool, err error)) error {
	if _, err := readAuthDocument(path); err != nil {
		return err // by its own name
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return &fs.PathError{Op: "flock", Path: dir, Err: err}
	}
	d, err := readAuthDocument(path)
	if err != nil {
		return err
	}
	if changed, err := change(d); err != nil || !changed {
		return err
	}
	if len(d.auths) == 0 {
		delete(d.all, "auths")
	} else if d.all["auths"], err = json.Marshal(d.auths); err != nil {
		return err
	}
	if len(d.all) == 0 {
		return atomicfile.Remove(path)
	}
	data, err := json.MarshalIndent(d.all, "", "\t")
	if err != nil {
		return err
	}
	return replacePrivate(path, append(data, '\n'))
}

// Keepable tells whether credentials can be kept in a file, before somebody is asked for
// a password.
func Keepable(path string) error {
	if _, err := readAuthDocument(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	for {
		err := unix.Access(dir, unix.W_OK)
		if !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			if err != nil {
				return &fs.PathError{Op: "keeping credentials in", Path: path, Err: err}
			}
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// replacePrivate puts a file of its owner's alone in its place. One of another owner
// stays theirs: root may change a user's.
func replacePrivate(path string, data []byte) error {
	f, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	var before unix.Stat_t
	if unix.Stat(path, &before) == nil && int(before.Uid) != os.Geteuid() {
		if err := f.Chown(int(before.Uid), int(before.Gid)); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Replace()
}
