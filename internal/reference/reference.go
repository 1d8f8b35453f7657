// SPDX-License-Identifier: Apache-2.0

// Package reference is the grammar of image names: what an operator writes in
// `image:`, and the one canonical form under which the store files it. It does
// no I/O and imports almost nothing, because the generator asks it for the path
// that a present image has (a ConditionPathExists=) and the helper asks it at
// each start.
package reference

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
)

// DefaultHost is the registry of a name that names none, as in Compose.
const DefaultHost = "docker.io"

// DefaultTag is the tag of a name that has neither tag nor digest.
const DefaultTag = "latest"

// ErrInvalid is the base of every fault that Parse reports.
var ErrInvalid = errors.New("invalid image name")

// Reference is an image name in canonical form: "docker.io/library/nginx:1.27".
type Reference struct {
	Host string // "docker.io", "localhost:5000", "[::1]:5000"
	Path string // "library/nginx"
	Tag  string // "" only when Digest is set and no tag was written
	// Digest is "sha256:" and 64 hexadecimal digits, or "". When it is set the
	// tag is a remark: the digest alone says which image is meant.
	Digest string
	// Short is what was written before defaults when no host was ("nginx"),
	// because only such names are looked up among the short-name aliases.
	Short string
	// Platform is another one than this machine's, as in "linux/arm64/v8"; ""
	// = this machine's. Images of both are here at once: the name in the store
	// differs, the one that is shown does not. Parse leaves it empty.
	Platform string
}

// Foreign is a platform in canonical form, "" for this machine's own.
func Foreign(platform string) string {
	if platform != "" && !strings.Contains(platform, "/") {
		platform = "linux/" + platform // an architecture alone
	}
	if platform == "linux/"+runtime.GOARCH {
		return ""
	}
	return platform
}

// Parse reads a name as Docker and Compose do: the first component is a host
// when it has a dot, a colon or a capital, or is "localhost".
func Parse(s string) (Reference, error) {
	var r Reference
	rest, digest, hasDigest := strings.Cut(s, "@")
	if hasDigest {
		if err := CheckDigest(digest); err != nil {
			return r, fmt.Errorf("%w %q: %w", ErrInvalid, s, err)
		}
		r.Digest = digest
	}
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, '/') {
		rest, r.Tag = rest[:i], rest[i+1:]
		if !validTag(r.Tag) {
			return r, fmt.Errorf("%w %q: tag %q; a tag is up to 128 letters, digits, '_', '.' and '-'", ErrInvalid, s, r.Tag)
		}
	}
	r.Host, r.Path = splitHost(rest)
	if r.Host == "" {
		r.Short, r.Host = r.Path, DefaultHost
	}
	if r.Host == DefaultHost && !strings.Contains(r.Path, "/") {
		r.Path = "library/" + r.Path
	}
	if r.Tag == "" && r.Digest == "" {
		r.Tag = DefaultTag
	}
	if err := r.check(); err != nil {
		return Reference{}, fmt.Errorf("%w %q: %w", ErrInvalid, s, err)
	}
	return r, nil
}

func splitHost(s string) (host, path string) {
	first, rest, found := strings.Cut(s, "/")
	if !found {
		return "", s
	}
	if !strings.ContainsAny(first, ".:") && first != "localhost" && strings.ToLower(first) == first {
		return "", s
	}
	if first == "index.docker.io" || first == "registry-1.docker.io" {
		first = DefaultHost
	}
	return first, rest
}

func (r Reference) check() error {
	if !validHost(r.Host) {
		return fmt.Errorf("registry host %q", r.Host)
	}
	if len(r.Path) > 255 {
		return fmt.Errorf("repository of %d bytes; 255 are allowed", len(r.Path))
	}
	for part := range strings.SplitSeq(r.Path, "/") {
		if !validComponent(part) {
			return fmt.Errorf("repository component %q; lower-case letters and digits, joined by '.', '_', '__' or '-'", part)
		}
	}
	// The last component and the tag or digest share one file name, which Linux
	// ends at 255 bytes.
	if last := r.File(); len(last)-strings.LastIndexByte(last, '/')-1 > 255 {
		return fmt.Errorf("component and tag of more than 255 bytes")
	}
	return nil
}

// String is the canonical form.
func (r Reference) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Name is the canonical form without tag and digest.
func (r Reference) Name() string { return r.Host + "/" + r.Path }

// File is the path, relative to the store's names directory, of the file that
// stands for this name. It exists exactly when the image is complete in the
// store. Only validated bytes reach it: no component is empty, "." or "..".
func (r Reference) File() string {
	if r.Digest != "" {
		return r.Name() + "@" + r.Digest + r.platformEnd()
	}
	return r.Name() + ":" + r.Tag + r.platformEnd()
}

// platformEnd sets the files of other platforms apart: no tag and no digest
// has a ';'.
func (r Reference) platformEnd() string {
	if r.Platform == "" {
		return ""
	}
	return ";" + strings.ReplaceAll(r.Platform, "/", "_")
}

// ShortFile is the path, like File, under which a pull files a short name that
// an alias of registries.conf sent elsewhere; "" for a name with a host. No
// host begins with '@', so the two never meet.
func (r Reference) ShortFile() string {
	if r.Short == "" {
		return ""
	}
	if r.Digest != "" {
		return "@short/" + r.Short + "@" + r.Digest + r.platformEnd()
	}
	return "@short/" + r.Short + ":" + r.Tag + r.platformEnd()
}

// CheckDigest accepts "sha256:" and 64 lower-case hexadecimal digits: a digest
// becomes a file name (CVE-2024-3727).
func CheckDigest(s string) error {
	algorithm, hex, found := strings.Cut(s, ":")
	if !found || algorithm != "sha256" {
		return fmt.Errorf("digest %q; only sha256 is supported", s)
	}
	if !ValidHex(hex) {
		return fmt.Errorf("digest %q; sha256: is followed by 64 lower-case hexadecimal digits", s)
	}
	return nil
}

// ValidHex tells whether s is 64 lower-case hexadecimal digits.
func ValidHex(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func validTag(s string) bool {
	if s == "" || len(s) > 128 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isUpper(c) && !isDigit(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

// validComponent is path-component of the distribution grammar: runs of lower
// case and digits joined by '.', '_', '__' or any number of '-'.
func validComponent(s string) bool {
	if s == "" || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && !isAlnum(s[j]) {
			j++
		}
		if sep := s[i:j]; sep != "" && sep != "." && sep != "_" && sep != "__" && strings.Trim(sep, "-") != "" {
			return false
		}
		i = j + 1
	}
	return true
}

func validHost(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.Trim(s[1:end], "0123456789abcdefABCDEF:") != "" || end < 3 {
			return false
		}
		if end+1 == len(s) {
			return true
		}
		return s[end+1] == ':' && validPort(s[end+2:])
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
		if !validPort(port) {
			return false
		}
	}
	for label := range strings.SplitSeq(host, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return len(host) <= 255
}

func validPort(s string) bool {
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}

func validLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isUpper(c) && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlnum(c byte) bool { return isLower(c) || isDigit(c) }
