// SPDX-License-Identifier: Apache-2.0

package session

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEntriesOfTheJournal(t *testing.T) {
	stream := "__CURSOR=old\n__REALTIME_TIMESTAMP=9\n__MONOTONIC_TIMESTAMP=2\nMESSAGE=before the clock was set back\n\n" +
		"__CURSOR=a\n__REALTIME_TIMESTAMP=1\n__MONOTONIC_TIMESTAMP=3\nMESSAGE=one = two\n\n" +
		"__CURSOR=b\n__MONOTONIC_TIMESTAMP=4\nMESSAGE\n\x05\x00\x00\x00\x00\x00\x00\x00a\n\nb\xff\n\n" +
		"__CURSOR=b2\n__MONOTONIC_TIMESTAMP=4\nMESSAGE_ID=7\nMESSAGE=theirs\n\n" + "__CURSOR=c\nMESSAGE_ID=8\nMESSAGE=ours\n\n" + "__CURSOR=d\nMESSAGE=half"
	var out bytes.Buffer
	f := Follower{Without: []string{"8"}, Since: time.Unix(5, 6000), Units: []string{"web.service", "unitc-web.scope"}}
	if first := strings.Join(f.arguments(), " "); first != "--quiet --no-pager --boot --output=export --output-fields=MESSAGE,MESSAGE_ID --since=@5.000006 _SYSTEMD_UNIT=web.service + _SYSTEMD_UNIT=unitc-web.scope" {
		t.Errorf("asked for %s", first)
	}
	f.At = 3 * time.Microsecond
	if err := f.show(strings.NewReader(stream), &out); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if out.String() != "one = two\na\n\nb\xff\ntheirs\n" {
		t.Errorf("shown: %q", out.String())
	}
	if !slices.Contains(f.arguments(), "--after-cursor=c") {
		t.Errorf("the rest is asked for with %q", f.arguments())
	}
}

func TestEntryThatIsTooLong(t *testing.T) {
	f := Follower{}
	err := f.show(strings.NewReader("MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xff"), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "a field of") {
		t.Errorf("got %v", err)
	}
}
