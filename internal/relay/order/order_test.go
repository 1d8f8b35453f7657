// SPDX-License-Identifier: Apache-2.0

package order

import (
	"testing"
	"time"
)

func TestDecodeIsTheReverseOfEncode(t *testing.T) {
	want := Order{
		Unit: "web.service", Dir: "/run/unitc/web", Helper: "/usr/lib/unitc/unitc-exec", Ready: ReadyHealthy, Log: LogJSON, Tag: "a=b\nc", Terminal: true, Attach: true,
		Probe: ProbeHTTP, CA: "/ca.pem", Name: "app.example", Target: "http://127.0.0.1:80/?a=b", Interval: 30 * time.Second, Timeout: time.Second, StartPeriod: time.Minute,
		StartInterval: 5 * time.Second, Retries: 3, Restart: true, Extend: true,
	}
	got, err := Decode(want.Encode())
	if err != nil || *got != want {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	if _, err := Decode([]byte("unit=a\x00what=b\x00")); err == nil {
		t.Error("an unknown field is taken")
	}
	if _, err := Decode([]byte("retries=many\x00")); err == nil {
		t.Error("a number that is none is taken")
	}
}
