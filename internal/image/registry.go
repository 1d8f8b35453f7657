// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/unitc/unitc/internal/protection"
	"github.com/unitc/unitc/internal/realm"
)

// certDirs hold certificates per registry: HOST/*.crt are authorities,
// HOST/*.cert with *.key what we show (containers-certs.d(5)).
var certDirs = []string{"/etc/unitc/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"}

// idleTimeout ends a connection on which nothing comes; a variable for tests.
var idleTimeout = 60 * time.Second

// registry speaks to one endpoint about one repository. Authentication is the
// library's; requests are ours, because it knows neither ranges nor limits as
// tight as ours.
type registry struct {
	endpoint
	client *http.Client
	base   string // https://host/v2/path
	auth   http.RoundTripper
	from   string // the file of the credentials; "" = none are shown
	report *reporter

	mu     sync.Mutex
	warned map[string]bool // what the registry has said already
}

// libraryName is the registry as the library knows it.
func (e endpoint) libraryName() (name.Registry, error) {
	var opts []name.Option
	if e.insecure {
		opts = append(opts, name.Insecure)
	}
	reg, err := name.NewRegistry(e.host, opts...)
	if err != nil {
		return reg, fmt.Errorf("registry %s: %w", e.host, err)
	}
	return reg, nil
}

// connect finds out how the registry wants to be spoken to.
func connect(ctx context.Context, e endpoint, authFile string) (*registry, error) {
	reg, err := e.libraryName()
	if err != nil {
		return nil, err
	}
	auth, from, err := credentials(ctx, authFile, e.host, e.path)
	if err != nil {
		return nil, err
	}
	base, err := baseTransport(e)
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", e.host, err)
	}
	rt, err := transport.NewWithContext(ctx, reg, auth, base, []string{"repository:" + e.path + ":pull"})
	if err != nil {
		return nil, fmt.Errorf("registry %s: %w", e.host, explain(ifRefused(err, loginCure(e.host, from))))
	}
	r := &registry{endpoint: e, auth: rt, from: from}
	r.client = &http.Client{Transport: rt, CheckRedirect: r.redirect}
	// The transport replaces the scheme by the one that answered.
	r.base = "https://" + reg.RegistryStr() + "/v2/" + e.path
	return r, nil
}

// noTLS is net/http's text; it has no value for it.
const noTLS = "server gave HTTP response to HTTPS client"

// explain adds the cure where the library's words do not have it.
func explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; look at the clock of this host first (timedatectl): a machine without a battery boots with one of long ago; else renew the certificate", err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; put its authority's certificate into /etc/unitc/certs.d/HOST/ca.crt", err)
	case strings.Contains(err.Error(), noTLS):
		return fmt.Errorf("%w; for a registry without TLS set insecure = true in registries.conf", err)
	}
	return err
}

// baseTransport has time-outs for everything that can stall but the body, and
// refuses plain HTTP wherever it comes from: a name, a token server, a redirect.
func baseTransport(e endpoint) (http.RoundTripper, error) {
	config, err := tlsConfig(e)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   parallelLayers,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		TLSClientConfig:       config,
		// A layer is compressed already, and its digest is of those bytes.
		DisableCompression: true,
	}
	return &schemeGuard{inner: t, plain: e.insecure}, nil
}

type schemeGuard struct {
	inner http.RoundTripper
	plain bool
}

func (g *schemeGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.plain {
		return nil, fmt.Errorf("%w: %s://%s without TLS; set insecure = true in registries.conf if that is meant", ErrRefused, r.URL.Scheme, r.URL.Host)
	}
	return g.inner.RoundTrip(r)
}

func tlsConfig(e endpoint) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: e.insecure}
	for _, dir := range realm.Configs("certs.d", certDirs) {
		dir = filepath.Join(dir, e.host)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && realm.Own() != nil {
			continue // no certificates for this host, which is the rule, or root's
		}
		if err != nil {
			return nil, fmt.Errorf("looking for certificates: %w", err)
		}
		for _, entry := range entries {
			if err := addCertificate(c, dir, entry.Name()); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func addCertificate(c *tls.Config, dir, file string) error {
	path := filepath.Join(dir, file)
	switch filepath.Ext(file) {
	case ".crt":
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if c.RootCAs == nil {
			if c.RootCAs, err = x509.SystemCertPool(); err != nil {
				return err
			}
		}
		if !c.RootCAs.AppendCertsFromPEM(data) {
			return fmt.Errorf("reading %s: no certificate in PEM form", path)
		}
	case ".cert":
		pair, err := tls.LoadX509KeyPair(path, strings.TrimSuffix(path, ".cert")+".key")
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		c.Certificates = append(c.Certificates, pair)
	case ".key":
		cert := strings.TrimSuffix(path, ".key") + ".cert"
		if _, err := os.Stat(cert); err != nil {
			return fmt.Errorf("%s is a key without its certificate: %w", path, err)
		}
	}
	return nil
}

// redirect allows what registries do (blobs on a storage host) and not what an
// attacker wants: the metadata service of a cloud. Credentials stay behind:
// net/http drops them on another host, and the library adds them only for the
// registry's own.
func (r *registry) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("more than 5 redirects")
	}
	if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil && addr.IsLinkLocalUnicast() {
		return fmt.Errorf("%w: a redirect to the link-local address %s", ErrRefused, addr)
	}
	if protection.Off("credentials-stay") {
		req.Header.Set("Authorization", via[0].Header.Get("Authorization"))
	}
	return nil
}

// statusError is an answer that is not what was asked for.
type statusError struct {
	url    string
	code   int
	after  time.Duration
	detail string
	host   string // of the registry, whatever host answers
	from   string // the file of the credentials
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("%s: %d %s", e.url, e.code, http.StatusText(e.code))
	if e.detail != "" {
		s += ": " + e.detail
	}
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		s += "; " + loginCure(e.host, e.from)
	case http.StatusTooManyRequests:
		s += "; the registry limits pulls, and who logs in may pull more: `unitc login " + e.host + "`"
	}
	return s
}

// loginCure is what to do where a registry keeps an image to itself.
func loginCure(host, from string) string {
	if from == "" {
		return fmt.Sprintf("no such image, or it is not for everybody: `unitc login %s`", host)
	}
	return fmt.Sprintf("no such image, or not for whom %s names: `unitc login %s` takes other credentials", from, host)
}

// ifRefused adds the cure to what the library says where the registry has refused.
func ifRefused(err error, cure string) error {
	if isRefused(err) {
		return fmt.Errorf("%w; %s", err, cure)
	}
	return err
}

func isRefused(err error) bool {
	var lib *transport.Error
	return errors.As(err, &lib) && (lib.StatusCode == http.StatusUnauthorized || lib.StatusCode == http.StatusForbidden)
}

func (e *statusError) retryAfter() time.Duration { return e.after }

// maxWarnings of one registry are told: each may be asked for a thousand things.
const maxWarnings = 10

// warn passes on what a registry says to its users (OCI distribution-spec, "Warnings"):
// 299 - "this tag goes next month". Each once.
func (r *registry) warn(headers []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range headers {
		text, begins := strings.CutPrefix(h, `299 - "`)
		text, ends := strings.CutSuffix(text, `"`)
		if !begins || !ends || r.warned[text] || len(r.warned) >= maxWarnings || len(text) > 4096 {
			continue
		}
		if r.warned == nil {
			r.warned = map[string]bool{}
		}
		r.warned[text] = true
		r.report.send(Event{Kind: EventWarning, Text: r.host + " says: " + printable(strings.ReplaceAll(text, `\"`, `"`))})
	}
}

// get asks for a path below the repository.
func (r *registry) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	return r.ask(ctx, http.MethodGet, path, header)
}

func (r *registry) ask(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.base+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := r.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			u.URL = stripQuery(u.URL)
		}
		return nil, explain(ifRefused(err, loginCure(r.host, r.from)))
	}
	if resp.Request.URL.Host == req.URL.Host { // not where it has sent us
		r.warn(resp.Header.Values("Warning"))
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // a remark; the status is the error
	return nil, &statusError{
		url: stripQuery(req.URL.String()), code: resp.StatusCode, after: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		detail: printable(string(text)), host: r.host, from: r.from,
	}
}

// stripQuery removes what may be a signature of a storage host: messages end
// up in the journal.
func stripQuery(s string) string {
	before, _, _ := strings.Cut(s, "?")
	return before
}

// printable keeps a registry's words from steering a terminal.
func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "?")))
}

// parseRetryAfter reads seconds or a date (RFC 9110, 10.2.3).
func parseRetryAfter(s string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if n, err := strconv.Atoi(s); err == nil {
		wait = time.Duration(min(max(n, 0), 3601)) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		wait = at.Sub(now)
	}
	if wait < 0 || wait > time.Hour {
		return 0
	}
	return wait
}

// retryable: the network, a server that is busy or broken, a stream cut short.
func retryable(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.code >= 500 && status.code != http.StatusNotImplemented || status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout
	}
	var lib *transport.Error
	if errors.As(err, &lib) {
		return lib.Temporary() || lib.StatusCode >= 500 || lib.StatusCode == http.StatusTooManyRequests
	}
	if errors.Is(err, ErrRefused) || errors.Is(err, context.Canceled) || strings.Contains(err.Error(), noTLS) {
		return false
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return false
	}
	var network net.Error
	var op *net.OpError
	return errors.As(err, &op) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errStalled)
}

// manifest fetches and verifies a manifest or index by tag or digest.
func (r *registry) manifest(ctx context.Context, tagOrDigest string) (*document, error) {
	return r.document(ctx, "manifests/"+tagOrDigest, tagOrDigest)
}

func (r *registry) document(ctx context.Context, path, asked string) (*document, error) {
	var doc *document
	err := retry(ctx, nil, func() error {
		resp, err := r.get(ctx, path, http.Header{"Accept": {acceptManifests}})
		if err != nil {
			return err
		}
		body := newIdleReader(resp.Body)
		defer body.Close()
		limit := int64(maxManifest)
		if protection.Off("manifest-limit") {
			limit <<= 10
		}
		raw, err := io.ReadAll(io.LimitReader(body, limit+1))
		if err != nil {
			return err
		}
		if int64(len(raw)) > limit {
			return fmt.Errorf("%w: a manifest of more than %d bytes", ErrRefused, limit)
		}
		mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		doc, err = parseDocument(raw, mediaType)
		if err != nil {
			return err
		}
		return checkAnswer(doc, asked, resp.Header.Get("Docker-Content-Digest"))
	})
	return doc, err
}

// digest is what the registry has for a name by now, without the manifest: registries
// that count pulls count no such question. "" = it does not say.
func (r *registry) digest(ctx context.Context, tagOrDigest string) string {
	resp, err := r.ask(ctx, http.MethodHead, "manifests/"+tagOrDigest, http.Header{"Accept": {acceptManifests}})
	if err != nil {
		return "" // who asks for the manifest next is told why
	}
	resp.Body.Close()
	return resp.Header.Get("Docker-Content-Digest")
}

// checkAnswer compares the content with what was asked for and what the
// registry says that it sent.
func checkAnswer(doc *document, asked, header string) error {
	if strings.HasPrefix(asked, "sha256:") && asked != doc.digest {
		return fmt.Errorf("%w: asked for %s, the registry sent %s", ErrRefused, asked, doc.digest)
	}
	if strings.HasPrefix(header, "sha256:") && header != doc.digest {
		return fmt.Errorf("%w: the registry says %s and sent %s", ErrRefused, header, doc.digest)
	}
	return nil
}

// open gives a blob from offset on. Foreign addresses in a descriptor ("urls")
// are never asked (CVE-2020-15157).
func (r *registry) open(ctx context.Context, d descriptor, offset int64) (io.ReadCloser, error) {
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := r.get(ctx, "blobs/"+d.Digest, header)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusRequestedRangeNotSatisfiable && offset > 0 {
		// It knows ranges, but not open ones.
		resp, err = r.get(ctx, "blobs/"+d.Digest, http.Header{})
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := newIdleReader(resp.Body)
	body.cancel = cancel
	if resp.StatusCode == http.StatusPartialContent {
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
			body.Close()
			return nil, fmt.Errorf("%w: asked for bytes from %d, the registry sent %q", ErrRefused, offset, printable(resp.Header.Get("Content-Range")))
		}
		return body, nil
	}
	// A registry without ranges sends all of it again.
	if _, err := io.CopyN(io.Discard, body, offset); err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// errStalled: the connection is there, the bytes are not.
var errStalled = errors.New("no data from the registry")

// idleReader ends a body that stalls. Closing the body is what wakes a reader
// in net/http.
type idleReader struct {
	body    io.ReadCloser
	timer   *time.Timer
	cancel  context.CancelCauseFunc
	stalled chan struct{}
}

func newIdleReader(body io.ReadCloser) *idleReader {
	r := &idleReader{body: body, stalled: make(chan struct{})}
	var once sync.Once
	r.timer = time.AfterFunc(idleTimeout, func() {
		once.Do(func() { close(r.stalled) })
		body.Close()
	})
	r.timer.Stop()
	return r
}

// Read arms the timer only while it waits: an unpacker that is slower than the
// network is no stall.
func (r *idleReader) Read(p []byte) (int, error) {
	r.timer.Reset(idleTimeout)
	n, err := r.body.Read(p)
	r.timer.Stop()
	select {
	case <-r.stalled:
		if n == 0 {
			return 0, fmt.Errorf("%w for %s", errStalled, idleTimeout)
		}
	default:
	}
	return n, err
}

// Close ends the request.
func (r *idleReader) Close() error {
	r.timer.Stop()
	if r.cancel != nil {
		r.cancel(nil)
	}
	return r.body.Close()
}
