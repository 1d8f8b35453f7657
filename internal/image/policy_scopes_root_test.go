// SPDX-License-Identifier: Apache-2.0

package image

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The most particular scope counts (containers-policy.json(5)), also of files and
// directories, by whatever link they are named; what cannot be told apart is refused.
func TestPolicyScopes(t *testing.T) {
	const accept, reject = `[{"type":"insecureAcceptAnything"}]`, `[{"type":"reject"}]`
	tars := [][]byte{tarOf(t, file{name: "a", content: "1"})}
	b := build(t, nil, tars...)
	top := t.TempDir()
	tagged := layoutOf(t, b, map[string]string{annotationRefName: "v1"})
	good, bad := top+"/good/layout", top+"/bad/layout"
	for _, dir := range []string{good, bad} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.Rename(writeDir(t, tagged), dir)); err != nil {
			t.Fatal(err)
		}
	}
	archive, link := top+"/bad/image.tar", top+"/good/link"
	if err := errors.Join(os.WriteFile(archive, archiveOf(t, tagged...), 0o600), os.Symlink(bad, link)); err != nil {
		t.Fatal(err)
	}
	docker := top + "/docker.tar"
	if err := os.WriteFile(docker, archiveOf(t, dockerOf(t, b, tars, "busy:1")...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		policy, from string
		refused      bool
	}{
		{`"oci":{"` + top + `/bad":` + reject + `}`, good, false},
		{`"oci":{"` + top + `/bad":` + reject + `}`, bad, true},
		{`"oci":{"` + top + `/bad":` + reject + `}`, link, true},
		{`"oci":{"` + top + `":` + reject + `,"` + good + `":` + accept + `}`, good, false},
		{`"oci":{"` + good + `":` + accept + `,"` + good + `:v1":` + reject + `}`, good, true},
		{`"oci":{"` + good + `":` + accept + `,"` + good + `:v2":` + reject + `}`, good, false},
		{`"oci":{"":` + reject + `}`, good, true},
		{`"oci":{"` + top + `/bad":` + reject + `}`, archive, false}, // another transport
		{`"oci-archive":{"` + top + `/bad":` + reject + `}`, archive, true},
		{`"docker-archive":{"":` + reject + `}`, docker, true},
		{`"docker-archive":{"` + docker + `":` + reject + `}`, docker, true}, // not supported
		{`"docker-archive":{"/other":` + accept + `}`, docker, true},
	} {
		c := newClient(t)
		if err := os.WriteFile(c.PolicyFile, []byte(`{"default":`+accept+`,"transports":{`+tc.policy+`}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Load(ctx, tc.from, LoadOptions{}); errors.Is(err, ErrPolicy) != tc.refused || (err == nil) == tc.refused {
			t.Errorf("%s with %s: %v", tc.from, tc.policy, err)
		}
	}
	p := &Policy{Default: []requirement{{Type: "default"}}, Transports: map[string]map[string][]requirement{"docker": {}}}
	digest := "@sha256:" + strings.Repeat("1", 64)
	for _, scope := range []string{"a.b.test:5000/x/y" + digest, "a.b.test:5000/x/y:1", "a.b.test:5000/x/y", "a.b.test:5000/x", "a.b.test:5000", "*.b.test", "*.test", ""} {
		p.Transports["docker"][scope] = []requirement{{Type: scope}}
	}
	for name, want := range map[string]string{
		"a.b.test:5000/x/y:1" + digest: "a.b.test:5000/x/y" + digest, "a.b.test:5000/x/y:1": "a.b.test:5000/x/y:1", "a.b.test:5000/x/y:2": "a.b.test:5000/x/y", "a.b.test:5000/x/z:1": "a.b.test:5000/x",
		"a.b.test:5000/z:1": "a.b.test:5000", "a.b.test/x:1": "*.b.test", "c.test/x:1": "*.test", "else.where/x:1": "",
	} {
		if got, err := p.requirements(candidate{transport: "docker", ref: mustParse(t, name)}); err != nil || len(got) != 1 || got[0].Type != want {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, want)
		}
	}
}

// Which name a signature has to be of, by each rule.
func TestSignedIdentity(t *testing.T) {
	byDigest := "q.test/a/b@sha256:" + strings.Repeat("1", 64)
	for _, tc := range []struct {
		rule   *signedIdentity
		signed string
		ok     []string // of the names asked for
	}{
		{nil, "q.test/a/b:1", []string{"q.test/a/b:1", byDigest}},
		{nil, "q.test/a/b", []string{byDigest}},
		{&signedIdentity{Type: "matchExact"}, "q.test/a/b:1", []string{"q.test/a/b:1"}},
		{&signedIdentity{Type: "matchExact"}, "q.test/a/b", nil},
		{&signedIdentity{Type: "matchRepository"}, "q.test/a/b", []string{"q.test/a/b:1", "q.test/a/b:2", byDigest}},
		{&signedIdentity{Type: "matchRepository"}, "q.test/a/bb", nil},
		{&signedIdentity{Type: "exactReference", DockerReference: "up.test/b:1"}, "up.test/b:1", []string{"q.test/a/b:1", "q.test/a/b:2", byDigest, "r.test/a/b:1"}},
		{&signedIdentity{Type: "exactReference", DockerReference: "up.test/b:1"}, "up.test/b:2", nil},
		{&signedIdentity{Type: "exactReference"}, "up.test/b:1", nil},
		{&signedIdentity{Type: "exactRepository", DockerRepository: "up.test/b"}, "up.test/b:7", []string{"q.test/a/b:1", "q.test/a/b:2", byDigest, "r.test/a/b:1"}},
		{&signedIdentity{Type: "exactRepository"}, "up.test/b:7", nil},
		{&signedIdentity{Type: "remapIdentity", Prefix: "q.test/a", SignedPrefix: "up.test"}, "up.test/b:1", []string{"q.test/a/b:1", byDigest}},
		{&signedIdentity{Type: "remapIdentity", Prefix: "q.test/a", SignedPrefix: "up.test"}, "r.test/a/b:1", []string{"r.test/a/b:1"}},
		{&signedIdentity{Type: "somehow"}, "q.test/a/b:1", nil},
		{nil, "", nil},
	} {
		for _, name := range []string{"q.test/a/b:1", "q.test/a/b:2", byDigest, "r.test/a/b:1"} {
			err := matchIdentity(tc.signed, mustParse(t, name), tc.rule)
			want := strings.Contains("\n"+strings.Join(tc.ok, "\n")+"\n", "\n"+name+"\n")
			if (err == nil) != want {
				t.Errorf("signed for %q, asked for %s, rule %+v: %v", tc.signed, name, tc.rule, err)
			}
		}
	}
	// A prefix ends where a component does.
	if err := matchIdentity("up.testing/b:1", mustParse(t, "q.test/aing/b:1"), &signedIdentity{Type: "remapIdentity", Prefix: "q.test/a", SignedPrefix: "up.test"}); err == nil {
		t.Error("half a component was mapped")
	}
}

// Each kind of key, from each place that a policy may name.
func TestKeysOfAPolicy(t *testing.T) {
	message := []byte("payload")
	sum := sha256.Sum256(message)
	ec, err1 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, err2 := rsa.GenerateKey(rand.Reader, 2048)
	edPublic, ed, err3 := ed25519.GenerateKey(rand.Reader)
	ecSig, err4 := ecdsa.SignASN1(rand.Reader, ec, sum[:])
	rsSig, err5 := rsa.SignPKCS1v15(rand.Reader, rs, crypto.SHA256, sum[:])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, k := range []struct {
		public any
		sig    []byte
	}{{ec.Public(), ecSig}, {rs.Public(), rsSig}, {edPublic, ed25519.Sign(ed, message)}} {
		der, err := x509.MarshalPKIXPublicKey(k.public)
		if err != nil {
			t.Fatal(err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		path := fmt.Sprintf("%s/%d.pem", dir, i)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		data := base64.StdEncoding.EncodeToString(text)
		for _, r := range []requirement{{KeyPath: path}, {KeyPaths: []string{path}}, {KeyData: data}, {KeyDatas: []string{data}}} {
			keys, err := r.keys()
			if err != nil || len(keys) != 1 || !keys[0].verify(message, k.sig) || keys[0].verify([]byte("other"), k.sig) || keys[0].verify(message, bytes.Repeat([]byte{1}, len(k.sig))) {
				t.Errorf("key %T by %+v: %v", k.public, r, err)
			}
		}
	}
	for what, r := range map[string]requirement{"none": {}, "no file": {KeyPath: dir + "/none"}, "no base64": {KeyData: "!"}, "no PEM": {KeyData: "AAAA"}, "a broken second one": {KeyPaths: []string{dir + "/0.pem", "/dev/null"}}} {
		if _, err := r.keys(); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
