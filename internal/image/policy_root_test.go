// SPDX-License-Identifier: Apache-2.0

package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestSignaturePolicy(t *testing.T) {
	w := newWorld(t)
	b := simple(t)
	ref := w.push("a", "1", b)
	key, other := newKey(t), newKey(t)
	sign := func(k *ecdsa.PrivateKey, digest, name string) {
		payload := marshal(t, map[string]any{"critical": map[string]any{
			"type": "cosign container image signature", "image": map[string]any{"docker-manifest-digest": digest}, "identity": map[string]any{"docker-reference": name},
		}})
		sum := sha256.Sum256(payload)
		sig, err := ecdsa.SignASN1(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		config := []byte("{}")
		d := document{SchemaVersion: 2, MediaType: typeOCIManifest, Config: &descriptor{Digest: digestOf(config), Size: 2}, Layers: []descriptor{{
			MediaType: "application/vnd.dev.cosign.simplesigning.v1+json", Digest: digestOf(payload), Size: int64(len(payload)),
			Annotations: map[string]string{cosignAnnotation: base64.StdEncoding.EncodeToString(sig)},
		}}}
		w.push("a", strings.Replace(b.digest(), ":", "-", 1)+".sig", &built{manifest: marshal(t, d), blobs: map[string][]byte{digestOf(payload): payload, digestOf(config): config}})
	}
	policy := func(requirement string) {
		w.client.PolicyFile = w.write("policy.json", fmt.Sprintf(`{"default":[{"type":"reject"}],"transports":{"docker":{%q:[%s]}}}`, w.host, requirement))
	}
	pub := w.write("pub.pem", pemOf(t, key))
	signed := fmt.Sprintf(`{"type":"sigstoreSigned","keyPath":%q,"signedIdentity":{"type":"matchRepository"}}`, pub)
	refused := func(what, want string) {
		t.Helper()
		before := w.requests("blobs/" + digestOf(b.layers[0]))
		_, err := w.client.Pull(ctx, ref, PullOptions{})
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
		if w.requests("blobs/"+digestOf(b.layers[0])) != before || len(leftovers(t, w.client.Store, "layers", "images")) > 0 {
			t.Errorf("%s: a layer was fetched", what)
		}
	}
	policy(`{"type":"reject"}`)
	refused("reject", "rejected")
	policy(`{"type":"signedBy","keyPath":"/x"}`)
	w.client.PolicyFile = w.write("policy.json", `{"default":[{"type":"signedBy"}]}`)
	refused("an unknown requirement", "not supported")
	policy(signed)
	refused("no signature", "no signature")
	bundle := marshal(t, document{SchemaVersion: 2, MediaType: typeOCIIndex, Manifests: []descriptor{{MediaType: typeOCIManifest, Digest: b.digest(), Size: 1, ArtifactType: bundleType + ".v0.3+json"}}})
	w.put("PUT", "/v2/a/manifests/"+strings.Replace(b.digest(), ":", "-", 1), typeOCIIndex, bundle)
	refused("a bundle of cosign 3", "--new-bundle-format=false")
	sign(other, b.digest(), w.host+"/a")
	refused("another's key", "another key")
	sign(key, "sha256:"+strings.Repeat("1", 64), w.host+"/a")
	refused("another digest", "a signature of")
	sign(key, b.digest(), w.host+"/b")
	refused("another name", "signed for")
	policy(strings.Replace(signed, `"keyPath"`, `"rekorPublicKeyPath":"/x","keyPath"`, 1))
	refused("rekor", "rekor")
	policy(signed)
	sign(key, b.digest(), w.host+"/a")
	if _, err := w.client.Pull(ctx, ref, PullOptions{}); err != nil {
		t.Errorf("a good signature: %v", err)
	}
	w.client.PolicyFile = w.write("policy.json", `{"default":[{"type":"insecureAcceptAnything"}],"tranports":{}}`)
	if _, err := w.client.Pull(ctx, ref, PullOptions{Policy: PullAlways}); err == nil {
		t.Error("a misspelt policy was accepted")
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pemOf(t *testing.T, k *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}
