// SPDX-License-Identifier: Apache-2.0

package realm

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// User is somebody whose own systemd runs their containers.
type User struct {
	// UID is what the host knows the user by.
	UID int
	// Home and Runtime are directories of the user's alone: HOME and XDG_RUNTIME_DIR.
	Home, Runtime string
	// Entered says that this process is root of the user's own namespace.
	Entered bool

	configHome, dataHome string
}

var own *User

// Own is the user whose places these are; nil = they are the system's.
func Own() *User { return own }

// entered says in the environment that this process was started in the user's own
// namespace, by Enter, and whose that is: in a namespace within another one nobody
// can see the host's ids. It only has the namespace looked at.
const entered = "_UNITC_IN_USER_NAMESPACE"

// Environ is what a program is told that is started in the user's own namespace.
func Environ() []string {
	list := append(os.Environ(), own.enteredBy())
	if own.Entered {
		for _, name := range []string{"uid_map", "gid_map"} {
			if text, err := IDMap("/proc/self/" + name); err == nil {
				list = append(list, mapEnv+name+"="+string(text))
			}
		}
	}
	return list
}

// mapEnv begins the names by which programs in a namespace within the user's own are
// told how ids are mapped there.
const mapEnv = "_UNITC_"

// IDMap reads a file uid_map or gid_map of this process (user_namespaces(7)), as the host
// sees the ids: within a namespace that is itself in the user's own, nobody can see that.
func IDMap(file string) ([]byte, error) {
	if text := os.Getenv(mapEnv + path.Base(file)); text != "" && Entered() {
		return []byte(text), nil
	}
	return os.ReadFile(file)
}

func (u *User) enteredBy() string { return entered + "=" + strconv.Itoa(u.UID) }

// Told is what programs of ours must know that are started with no environment
// otherwise; nothing for the system's.
func Told() []string {
	if own == nil {
		return nil
	}
	list := []string{"HOME=" + own.Home, "XDG_RUNTIME_DIR=" + own.Runtime, "XDG_CONFIG_HOME=" + own.configHome, "XDG_DATA_HOME=" + own.dataHome}
	if own.Entered {
		list = append(list, own.enteredBy())
	}
	return list
}

// Entered tells whether somebody says that this process is in the user's own namespace.
func Entered() bool { return os.Getenv(entered) != "" }

// Begin makes the places the user's where this process works for one: it is not
// root, or root of a namespace that the user has entered. Programs call it before
// all else.
func Begin() error {
	uid := os.Geteuid()
	inside := uid == 0 && Entered()
	if uid == 0 && !inside {
		return nil
	}
	if inside {
		_, whole, err := outside(uid)
		if err != nil {
			return err
		}
		if whole {
			return nil // root of the host, whatever the environment says
		}
		if uid, err = strconv.Atoi(os.Getenv(entered)); err != nil {
			return fmt.Errorf("%s: %w", entered, err)
		}
	}
	return Become(uid, inside, os.Getenv)
}

// Become makes the places those of a user, by their environment.
func Become(uid int, inside bool, getenv func(string) string) error {
	u := &User{UID: uid, Home: getenv("HOME"), Runtime: getenv("XDG_RUNTIME_DIR"), Entered: inside}
	if !path.IsAbs(u.Home) {
		return errors.New("HOME is not set to a directory: log in as the user")
	}
	if !path.IsAbs(u.Runtime) {
		return errors.New("XDG_RUNTIME_DIR is not set: log in as the user, or go there with `machinectl shell USER@` (su and sudo begin no session)")
	}
	u.Home, u.Runtime = path.Clean(u.Home), path.Clean(u.Runtime)
	if err := u.owns(u.Runtime); err != nil {
		return err
	}
	u.configHome, u.dataHome = baseDirs(u.Home, getenv)
	Run, Store, Config, Systemd = u.Runtime+"/unitc", u.dataHome+"/unitc", u.configHome+"/unitc", u.Runtime+"/systemd"
	own = u
	return nil
}

// baseDirs are those of the XDG Base Directory Specification, which has relative paths
// passed over.
func baseDirs(home string, getenv func(string) string) (config, data string) {
	base := func(name, standard string) string {
		if dir := getenv(name); path.IsAbs(dir) {
			return path.Clean(dir)
		}
		return path.Join(home, standard)
	}
	return base("XDG_CONFIG_HOME", ".config"), base("XDG_DATA_HOME", ".local/share")
}

// Elsewhere tells which of the user's directories is another one for their systemd, by its
// environment (NAME=VALUE), than for this process: name is that of the variable, "" = none
// is.
func (u *User) Elsewhere(env []string) (name, here, there string) {
	of := func(name string) (value string) {
		for _, word := range env {
			if v, ok := strings.CutPrefix(word, name+"="); ok {
				value = v
			}
		}
		return value
	}
	home := of("HOME")
	if !path.IsAbs(home) {
		return "", "", ""
	}
	switch config, data := baseDirs(path.Clean(home), of); {
	case path.Clean(home) != u.Home && (config != u.configHome || data != u.dataHome):
		return "HOME", u.Home, home
	case config != u.configHome:
		return "XDG_CONFIG_HOME", u.configHome, config
	case data != u.dataHome:
		return "XDG_DATA_HOME", u.dataHome, data
	}
	return "", "", ""
}

// BecomeSystem undoes Become, for tests.
func BecomeSystem() {
	Run, Store, Config, Systemd, own = "/run/unitc", "/var/lib/unitc", "/etc/unitc", "/run/systemd", nil
}

// UsualRun is where systemd-logind(8) has what runs of the user in whose namespace this
// process is, for those who were told nothing; false where it is the host's.
func UsualRun() (string, bool) {
	uid, whole, err := outside(os.Geteuid())
	return fmt.Sprintf("/run/user/%d/unitc", uid), err == nil && !whole
}

// owns sees that nobody else has put the directory there, or may put things in it.
func (u *User) owns(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("XDG_RUNTIME_DIR: %s: %w; log in as the user, or have them logged in always with `loginctl enable-linger`", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("XDG_RUNTIME_DIR: %s is not a directory of this user's alone; log in as the user", dir)
	}
	return nil
}

// outside is a user of this process's namespace as its parent namespace sees it,
// and whether that is all of the host's ids, as they are (user_namespaces(7)).
func outside(uid int) (outer int, whole bool, err error) {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return 0, false, fmt.Errorf("uid_map: %q", line)
		}
		if f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
			return uid, true, nil
		}
		var n [3]int
		for i := range f {
			if n[i], err = strconv.Atoi(f[i]); err != nil {
				return 0, false, fmt.Errorf("uid_map: %w", err)
			}
		}
		if uid >= n[0] && uid-n[0] < n[2] {
			return n[1] + uid - n[0], false, nil
		}
	}
	return 0, false, fmt.Errorf("user %d is not in %q", uid, data)
}
