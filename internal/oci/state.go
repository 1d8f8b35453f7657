// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/unitc/unitc/internal/oci/cgroup"
	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/quickjson"
	"github.com/unitc/unitc/internal/runtime"
)

// Errors that callers know by runc's words.
var (
	errExists     = errors.New("container with given ID already exists")
	errInvalidID  = errors.New("invalid container ID format")
	errEmptyID    = errors.New("container ID cannot be empty")
	errNotExist   = errors.New("container does not exist")
	errNotRunning = errors.New("container not running")
	errNotPaused  = errors.New("container not paused")
)

// record is what is kept of a container, in DIR/state.json; its configuration
// is beside it as it was at the creation.
type record struct {
	ID        string    `json:"id"`
	Bundle    string    `json:"bundle"`
	RootFS    string    `json:"rootfs"`
	PID       int       `json:"pid"`  // 0 = not there yet
	Made      bool      `json:"made"` // its creation has ended well
	StartTime uint64    `json:"start_time"`
	Created   time.Time `json:"created"`
	Owner     int       `json:"owner"`
	Cgroup    string    `json:"cgroup,omitempty"` // below the mount of cgroup v2; "" = none of its own
	Scope     string    `json:"scope,omitempty"`  // systemd made the cgroup
	Found     bool      `json:"found,omitempty"`  // somebody else did, and removes it
}

// container is a container with its lock held.
type container struct {
	record
	dir  string
	spec *specs.Spec // see config
	lock *os.File
	ears *listener // while its caller waits for its word; nil = nobody does
}

const (
	stateFile  = "/state.json"
	configFile = "/config.json"
	startFIFO  = "/start"
	attachDir  = "/root"
)

// maxID is the longest id: it is the name of a directory.
const maxID = 255

// checkID refuses what could be another file or another word to somebody.
func checkID(id string) error {
	if id == "" {
		return errEmptyID
	}
	if protection.Off("container-id") {
		return nil
	}
	if len(id) > maxID || id == "." || id == ".." {
		return errInvalidID
	}
	for _, r := range id {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+-.", r)) {
			return errInvalidID
		}
	}
	return nil
}

// newContainer makes the directory, which says that the id is taken.
func (c *call) newContainer(id string) (*container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.root, 0o700); err != nil {
		return nil, err
	}
	dir := filepath.Join(c.root, id)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil, errExists
	}
	if err != nil {
		return nil, err
	}
	k := &container{dir: dir, record: record{ID: id, Owner: os.Geteuid(), Created: time.Now().UTC()}}
	if k.lock, err = lockDir(dir); err != nil {
		_ = os.Remove(dir)
		return nil, err
	}
	return k, nil
}

// lockDir locks the directory itself: the lock goes with its last descriptor.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotExist
	}
	if err != nil {
		return nil, err
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	var open, now unix.Stat_t
	if unix.Fstat(int(f.Fd()), &open) != nil || unix.Lstat(dir, &now) != nil || open.Dev != now.Dev || open.Ino != now.Ino {
		f.Close()
		return nil, errNotExist // deleted while we waited
	}
	return f, nil
}

// damaged is a state that cannot be read.
type damaged struct {
	file string
	err  error
}

func (e *damaged) Error() string {
	return fmt.Sprintf("the state file %s is damaged: %v", e.file, e.err)
}

// load opens an existing container and locks it. With a *damaged error it comes
// all the same, for those who delete it.
func (c *call) load(id string) (*container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	k := &container{dir: filepath.Join(c.root, id), record: record{ID: id}}
	var err error
	if k.lock, err = lockDir(k.dir); err != nil {
		return nil, err
	}
	return k, k.read()
}

func (k *container) read() error {
	id := k.ID
	b, err := os.ReadFile(k.dir + stateFile)
	if err == nil {
		err = quickjson.Parse(b, &k.record)
	}
	if err == nil && k.ID != id {
		err = fmt.Errorf("it is of container %q", k.ID)
	}
	if errors.Is(err, fs.ErrNotExist) && k.lock == nil {
		err = k.explainAbsence(err)
		if err == nil || errors.Is(err, errNotExist) {
			return err
		}
	}
	if err != nil {
		k.record = record{ID: id}
		return &damaged{k.dir + stateFile, err}
	}
	return nil
}

// explainAbsence: without the lock, a state that is not there is one that is not
// written yet, or that has just been deleted; else it stays absent.
func (k *container) explainAbsence(absent error) error {
	for range 50 { // between making the directory and locking it is next to no time
		if k.beingMade() {
			return nil
		}
		if _, err := os.Lstat(k.dir); errors.Is(err, fs.ErrNotExist) {
			return errNotExist
		}
		if _, err := os.Lstat(k.dir + stateFile); err == nil {
			return k.read()
		}
		time.Sleep(time.Millisecond)
	}
	return absent
}

// open is load of a container that must be whole.
func (c *call) open(id string) (*container, error) {
	k, err := c.load(id)
	if err != nil {
		k.unlock()
		return nil, err
	}
	return k, nil
}

// look reads a container without its lock: hooks may ask while one that
// creates it holds that.
func (c *call) look(id string) (*container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	k := &container{dir: filepath.Join(c.root, id), record: record{ID: id}}
	if _, err := os.Lstat(k.dir); errors.Is(err, fs.ErrNotExist) {
		return nil, errNotExist
	}
	if err := k.read(); err != nil {
		return nil, err
	}
	return k, nil
}

// relock takes the lock again that was given up while others were to ask. By
// then the name may be that of another container.
func (k *container) relock() error {
	if k.lock != nil {
		return nil
	}
	lock, err := lockDir(k.dir)
	if err != nil {
		return err
	}
	now := &container{dir: k.dir, record: record{ID: k.ID}, lock: lock}
	if err := now.read(); err != nil || now.PID != k.PID || !now.Created.Equal(k.Created) {
		lock.Close()
		return errors.Join(err, errNotExist)
	}
	k.lock = lock
	return nil
}

func (k *container) unlock() {
	if k != nil && k.lock != nil {
		k.lock.Close()
		k.lock = nil
	}
}

// config reads the configuration kept at the creation.
func (k *container) config() (*specs.Spec, error) {
	if k.spec != nil {
		return k.spec, nil
	}
	b, err := os.ReadFile(k.dir + configFile)
	spec := &specs.Spec{}
	if err == nil {
		err = quickjson.Parse(b, spec)
	}
	if err == nil && spec.Linux == nil {
		err = errors.New("linux is missing")
	}
	if err != nil {
		return nil, &damaged{k.dir + configFile, err}
	}
	k.spec = spec
	return spec, nil
}

// save writes the record by rename.
func (k *container) save() error {
	return replace(k.dir+stateFile, quickjson.Append(nil, &k.record))
}

func (k *container) saveConfig() error {
	return replace(k.dir+configFile, quickjson.Append(make([]byte, 0, 16<<10), k.spec))
}

// replace writes a file so that whoever reads it has the old one or the new one.
func replace(path string, data []byte) error {
	dir, name := filepath.Split(path)
	tmp := dir + "." + name
	_ = os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (k *container) group() cgroup.Group { return cgroup.Group(k.Cgroup) }

// status asks the kernel, and remembers nothing.
func (k *container) status() specs.ContainerState {
	if !alive(k.PID, k.StartTime) {
		if k.PID == 0 && k.beingMade() {
			return specs.StateCreating
		}
		return specs.StateStopped
	}
	if !k.Made {
		return specs.StateCreating
	}
	if _, err := os.Lstat(k.dir + startFIFO); err == nil {
		return specs.StateCreated
	}
	if k.Cgroup != "" && k.group().Frozen() {
		return statePaused
	}
	return specs.StateRunning
}

// beingMade tells whether somebody holds the lock; a creator that was killed
// does not.
func (k *container) beingMade() bool {
	if k.lock != nil {
		return false
	}
	f, err := os.Open(k.dir)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// statePaused is no state of the specification, and all runtimes have it.
const statePaused specs.ContainerState = "paused"

// alive tells whether the process is still the one that it was; a zombie is not.
func alive(pid int, start uint64) bool {
	if pid <= 0 {
		return false
	}
	got, err := runtime.StartTime(pid)
	if err != nil || got != start {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	rest := string(b[strings.LastIndexByte(string(b), ')')+1:])
	state := strings.TrimSpace(rest)
	return state != "" && state[0] != 'Z' && state[0] != 'X'
}

// remove takes the state away, the name that says that it exists last.
func (k *container) remove() error {
	if err := k.removeAttachPoint(); err != nil {
		return err
	}
	if err := k.removeNotifyDir(); err != nil {
		return err
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := os.Remove(k.dir + "/" + e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(k.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
