// SPDX-License-Identifier: Apache-2.0

// Package busvalue makes the values that systemd's bus has for directives of a cgroup of
// the text that unit files have for them: a scope has no unit file. It is pure, so that
// what no scope would take is a fault of the definition, at its line, before any start.
package busvalue

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/unitc/unitc/internal/signals"
)

// kinds of directive by how systemd spells the value on the bus; see
// bus_append_cgroup_property and its neighbours in systemd's
// src/shared/bus-unit-util.c for the forms.
type kind int

const (
	kindBytes      kind = iota + 1 // t; a percentage goes to NAMEScale u
	kindTasks                      // the same with plain numbers
	kindWeight                     // t; "idle" is 0
	kindQuota                      // CPUQuotaPerSecUSec t
	kindSpan                       // NAMESec as NAMEUSec t
	kindBool                       // b
	kindString                     // s
	kindSet                        // ay, a bitmap of numbers
	kindDeviceRate                 // a(st)
	kindDeviceSpan                 // a(st), NAMESec as NAMEUSec
	kindDevice                     // a(ss)
	kindAddress                    // a(iayu)
	kindStrings                    // as
	kindPermyriad                  // u, parts of 2^32-1
	kindPath                       // a(ss), TYPE:PATH
	kindInterfaces                 // (bas), false and names; a ~ before them is true
	kindBind                       // a(iiqq), family, protocol, number of ports, first port
	kindNFTSet                     // a(iiss), source, family, table, set
	kindSignal                     // i
)

// kinds has every directive that a scope understands (systemd.scope(5),
// systemd.resource-control(5), systemd.kill(5)).
var kinds = map[string]kind{
	"MemoryMin": kindBytes, "MemoryLow": kindBytes, "MemoryHigh": kindBytes, "MemoryMax": kindBytes, "MemorySwapMax": kindBytes, "MemoryZSwapMax": kindBytes,
	"StartupMemoryLow": kindBytes, "StartupMemoryHigh": kindBytes, "StartupMemoryMax": kindBytes, "StartupMemorySwapMax": kindBytes, "StartupMemoryZSwapMax": kindBytes,
	"DefaultMemoryMin": kindBytes, "DefaultMemoryLow": kindBytes, "DefaultStartupMemoryLow": kindBytes,
	"TasksMax":  kindTasks,
	"CPUWeight": kindWeight, "StartupCPUWeight": kindWeight, "IOWeight": kindWeight, "StartupIOWeight": kindWeight,
	"CPUQuota": kindQuota, "CPUQuotaPeriodSec": kindSpan, "MemoryPressureThresholdSec": kindSpan, "TimeoutStopSec": kindSpan, "RuntimeMaxSec": kindSpan, "RuntimeRandomizedExtraSec": kindSpan,
	"CPUAccounting": kindBool, "MemoryAccounting": kindBool, "IOAccounting": kindBool, "TasksAccounting": kindBool, "IPAccounting": kindBool,
	"MemoryZSwapWriteback": kindBool, "SendSIGHUP": kindBool, "SendSIGKILL": kindBool, "CoredumpReceive": kindBool,
	"DevicePolicy": kindString, "ManagedOOMSwap": kindString, "ManagedOOMMemoryPressure": kindString, "ManagedOOMPreference": kindString,
	"MemoryPressureWatch": kindString, "OOMPolicy": kindString, "KillMode": kindString, "KillSignal": kindSignal,
	"ManagedOOMMemoryPressureLimit": kindPermyriad, "ManagedOOMMemoryPressureDurationSec": kindSpan,
	"AllowedCPUs": kindSet, "StartupAllowedCPUs": kindSet, "AllowedMemoryNodes": kindSet, "StartupAllowedMemoryNodes": kindSet,
	"IODeviceWeight": kindDeviceRate, "IOReadBandwidthMax": kindDeviceRate, "IOWriteBandwidthMax": kindDeviceRate,
	"IOReadIOPSMax": kindDeviceRate, "IOWriteIOPSMax": kindDeviceRate, "IODeviceLatencyTargetSec": kindDeviceSpan,
	"DeviceAllow":    kindDevice,
	"IPAddressAllow": kindAddress, "IPAddressDeny": kindAddress,
	// Of 261.
	"CPUPressureWatch": kindString, "IOPressureWatch": kindString, "CPUPressureThresholdSec": kindSpan, "IOPressureThresholdSec": kindSpan,
	"CPUSetPartition": kindString, "BindNetworkInterface": kindString, "OOMRules": kindStrings,
	"IPIngressFilterPath": kindStrings, "IPEgressFilterPath": kindStrings,
	"BPFProgram": kindPath, "RestrictNetworkInterfaces": kindInterfaces, "SocketBindAllow": kindBind, "SocketBindDeny": kindBind, "NFTSet": kindNFTSet,
}

// What values are made of that are more than one number or string; the bus has them as
// structs.
type (
	DeviceRate struct {
		Path string
		Rate uint64
	}
	DeviceRule struct{ Path, Permissions string }
	Address    struct {
		Family  int32
		Address []byte
		Prefix  uint32
	}
	// Program is of BPFProgram=.
	Program struct{ AttachType, Path string }
	// Interfaces are those that may be used, or those that may not.
	Interfaces struct {
		Allow bool
		Names []string
	}
	// Bind is of SocketBindAllow=: no family, protocol or ports are all of them.
	Bind struct {
		Family, Protocol int32
		Ports, First     uint16
	}
	// Set is of NFTSet=.
	Set struct {
		Source, Family int32
		Table, Name    string
	}
)

// Address families of the kernel, which systemd's bus has as numbers.
const (
	afINET  = 2
	afINET6 = 10
)

// ErrNone is told of a directive that no scope can be given.
var ErrNone = errors.New("no scope can be given this directive; write it beside `cgroup: service`")

// Of makes a property of a directive as a unit file has it.
func Of(name, value string) (property string, v any, err error) {
	value = strings.TrimSpace(value)
	k, ok := kinds[name]
	if !ok {
		return "", nil, ErrNone
	}
	v, suffix, err := variantOf(k, value)
	if err == nil {
		err = checkRange(name, value, v)
	}
	if err != nil {
		return "", nil, err
	}
	switch {
	case name == "CPUQuota":
		name = "CPUQuotaPerSecUSec"
	case k == kindSpan || k == kindDeviceSpan:
		name = strings.TrimSuffix(name, "Sec") + "USec"
	}
	return name + suffix, v, nil
}

// words are those that a directive takes.
var words = map[string][]string{
	"DevicePolicy": {"auto", "closed", "strict"}, "OOMPolicy": {"continue", "stop", "kill"},
	"ManagedOOMSwap": {"auto", "kill"}, "ManagedOOMMemoryPressure": {"auto", "kill"}, "ManagedOOMPreference": {"none", "avoid", "omit"},
	"MemoryPressureWatch": pressureWatch, "CPUPressureWatch": pressureWatch, "IOPressureWatch": pressureWatch,
	"KillMode": {"control-group", "mixed", "process", "none"}, "CPUSetPartition": {"member", "root", "isolated"},
}

// pressureWatch are the words beside those of a boolean.
var pressureWatch = []string{"auto", "skip", "on", "off"}

// attachTypes are those of BPFProgram=.
var attachTypes = strings.Fields(`ingress egress sock_create sock_ops device bind4 bind6 connect4 connect6 post_bind4 post_bind6
sendmsg4 sendmsg6 sysctl recvmsg4 recvmsg6 getsockopt setsockopt`)

// checkRange finds what has the right form and what systemd does not take all the same.
func checkRange(name, value string, v any) error {
	list := words[name]
	_, err := boolean(value)
	isBoolean := err == nil && strings.HasSuffix(name, "PressureWatch")
	if list != nil && value != "" && !isBoolean && !slices.Contains(list, value) {
		return fmt.Errorf("%q is none of %s", value, strings.Join(list, ", "))
	}
	switch name {
	case "MemoryMax", "MemoryHigh", "TasksMax", "StartupMemoryMax", "StartupMemoryHigh":
		if v == uint64(0) || v == uint32(0) {
			return fmt.Errorf("%q leaves no process anything", value)
		}
	case "DeviceAllow":
		r := v.([]DeviceRule)[0]
		if value != "" && (!strings.HasPrefix(r.Path, "/dev/") && !strings.HasPrefix(r.Path, "char-") && !strings.HasPrefix(r.Path, "block-") && !strings.HasPrefix(r.Path, "/run/systemd/inaccessible/") || strings.Trim(r.Permissions, "rwm") != "") {
			return fmt.Errorf("%q is no device with r, w and m, as in /dev/fuse rw or char-pts rwm", value)
		}
	}
	return nil
}

func variantOf(k kind, value string) (v any, suffix string, err error) {
	switch k {
	case kindBytes, kindTasks:
		return amount(value, k == kindBytes)
	case kindWeight:
		n, err := weight(value)
		return n, "", err
	case kindQuota:
		q, err := quota(value)
		return q, "", err
	case kindSpan:
		us, err := span(value)
		return us, "", err
	case kindBool:
		b, err := boolean(value)
		return b, "", err
	case kindString:
		return value, "", nil
	case kindStrings:
		return strings.Fields(value), "", nil
	case kindSet:
		b, err := bitmap(value)
		return b, "", err
	case kindPermyriad:
		scale, err := part(value)
		return scale, "", err
	case kindAddress:
		a, err := addresses(value)
		return a, "", err
	case kindPath:
		kind, path, ok := strings.Cut(value, ":")
		if !ok || !strings.HasPrefix(path, "/") || !slices.Contains(attachTypes, kind) {
			err = fmt.Errorf("%q is not TYPE:PATH, as in egress:/sys/fs/bpf/filter", value)
		}
		return []Program{{kind, path}}, "", err
	case kindInterfaces:
		names, deny := strings.CutPrefix(value, "~")
		return Interfaces{!deny, strings.Fields(names)}, "", nil
	case kindBind:
		b, err := bind(value)
		return []Bind{b}, "", err
	case kindNFTSet:
		list, err := sets(value)
		return list, "", err
	case kindSignal:
		number, ok := signals.Number(value)
		if !ok {
			err = fmt.Errorf("%q is no signal, as SIGTERM is", value)
		}
		return int32(number), "", err
	}
	return deviceValue(k, value)
}

func deviceValue(k kind, value string) (any, string, error) {
	path, rest := firstWord(value)
	switch k {
	case kindDevice:
		return []DeviceRule{{path, rest}}, "", nil
	case kindDeviceSpan:
		us, err := span(rest)
		return []DeviceRate{{path, us}}, "", err
	}
	n, err := size(rest, 1000)
	return []DeviceRate{{path, n}}, "", err
}

// firstWord takes the first word off as a unit file quotes it: the bus wants
// the bytes themselves (systemd.syntax(7), "Quoting"; "%%" is a percent sign).
func firstWord(value string) (word, rest string) {
	var b strings.Builder
	quoted := strings.HasPrefix(value, `"`)
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(value); i++ {
		switch {
		case quoted && value[i] == '\\' && i+1 < len(value):
			i++
			b.WriteByte(value[i])
			continue
		case quoted && value[i] == '"', !quoted && value[i] == ' ':
			return strings.ReplaceAll(b.String(), "%%", "%"), strings.TrimSpace(value[i+1:])
		}
		b.WriteByte(value[i])
	}
	return strings.ReplaceAll(b.String(), "%%", "%"), ""
}
