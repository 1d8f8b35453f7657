// SPDX-License-Identifier: Apache-2.0

// Package busvalue makes the values that systemd's bus has for directives of a cgroup of
// the text that unit files have for them: a scope has no unit file. It is pure, so that
// what no scope would take is a fault of the definition, at its line, before any start.
package busvalue

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
	"MemoryPressureWatch": kindString, "OOMPolicy": kindString, "KillMode": kindString,
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
	"MemoryPressureWatch": {"auto", "on", "off", "yes", "no", "true", "false", "1", "0", "skip"},
}

// attachTypes are those of BPFProgram=.
var attachTypes = strings.Fields(`ingress egress sock_create sock_ops device bind4 bind6 connect4 connect6 post_bind4 post_bind6
sendmsg4 sendmsg6 sysctl recvmsg4 recvmsg6 getsockopt setsockopt`)

// checkRange finds what has the right form and what systemd does not take all the same.
func checkRange(name, value string, v any) error {
	if list := words[name]; list != nil && value != "" && !slices.Contains(list, value) {
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

// amount is a number with an IEC suffix, "infinity", or a percentage, which
// the Scale form of the property takes as a part of 2^32-1.
func amount(value string, suffixes bool) (any, string, error) {
	if value == "infinity" || value == "" {
		return uint64(math.MaxUint64), "", nil
	}
	if strings.HasSuffix(value, "%") {
		scale, err := part(value)
		return scale, "Scale", err
	}
	if !suffixes {
		n, err := strconv.ParseUint(value, 10, 64)
		return n, "", err
	}
	n, err := size(value, 1024)
	return n, "", err
}

// size reads "64M"; base is 1024 for memory and 1000 for rates
// (systemd.resource-control(5)).
func size(value string, base float64) (uint64, error) {
	if value == "infinity" {
		return math.MaxUint64, nil
	}
	number := strings.TrimRight(value, "KMGTPEB")
	factor := 1.0
	if s := value[len(number):]; len(s) > 1 {
		return 0, fmt.Errorf("%q is not a size; write a number with K, M, G or T", value)
	} else if s != "" && s != "B" {
		factor = math.Pow(base, float64(strings.Index("KMGTPE", s)+1))
	}
	if n, err := strconv.ParseUint(number, 10, 64); err == nil && factor == 1 {
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*factor >= math.MaxUint64 {
		return 0, fmt.Errorf("%q is not a size; write a number with K, M, G or T", value)
	}
	return uint64(f * factor), nil
}

// part of 2^32-1: more than all of it is none.
func part(value string) (uint32, error) {
	p, err := percent(value)
	if err == nil && p > 100 {
		err = fmt.Errorf("%q is more than all there is", value)
	}
	if err != nil {
		return 0, err
	}
	return uint32(p / 100 * math.MaxUint32), nil
}

// weight is what cgroup v2 takes; "idle" is 0.
func weight(value string) (uint64, error) {
	if value == "idle" {
		return 0, nil
	}
	if value == "" {
		return math.MaxUint64, nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n < 1 || n > 10000 {
		return 0, fmt.Errorf("%q is no weight, a number from 1 to 10000", value)
	}
	return n, nil
}

// quota is µs in each second.
func quota(value string) (uint64, error) {
	if value == "infinity" || value == "" {
		return math.MaxUint64, nil
	}
	p, err := percent(value)
	if us := math.Round(p * 10000); err == nil && (us < 1 || us > math.MaxInt64) {
		err = fmt.Errorf("%q is no share of a processor such as 50%%", value)
	}
	if err != nil {
		return 0, err
	}
	return uint64(math.Round(p * 10000)), nil
}

func percent(value string) (float64, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
	if err != nil || p < 0 || math.IsNaN(p) || math.IsInf(p, 0) || !strings.HasSuffix(value, "%") {
		return 0, fmt.Errorf("%q is not a percentage such as 50%%", value)
	}
	return p, nil
}

func boolean(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "yes", "y", "true", "t", "on", "1":
		return true, nil
	case "no", "n", "false", "f", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither yes nor no", value)
}

// spanUnits of systemd.time(7), in µs.
var spanUnits = map[string]float64{
	"us": 1, "usec": 1, "µs": 1, "ms": 1e3, "msec": 1e3, "": 1e6, "s": 1e6, "sec": 1e6, "second": 1e6, "seconds": 1e6,
	"m": 60e6, "min": 60e6, "minute": 60e6, "minutes": 60e6, "h": 3600e6, "hr": 3600e6, "hour": 3600e6, "hours": 3600e6,
	"d": 86400e6, "day": 86400e6, "days": 86400e6, "w": 604800e6, "week": 604800e6, "weeks": 604800e6,
}

// span reads "1min 30s"; "infinity" is the largest number.
func span(value string) (uint64, error) {
	if value == "infinity" {
		return math.MaxUint64, nil
	}
	total, rest := 0.0, strings.ReplaceAll(value, " ", "")
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		n, err := strconv.ParseFloat(rest[:digits], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a time span such as 1min 30s", value)
		}
		rest = rest[digits:]
		letters := strings.IndexAny(rest, "0123456789.")
		if letters < 0 {
			letters = len(rest)
		}
		unit, ok := spanUnits[rest[:letters]]
		if !ok {
			return 0, fmt.Errorf("%q is not a time span such as 1min 30s", value)
		}
		total, rest = total+n*unit, rest[letters:]
	}
	if total >= math.MaxUint64 {
		return 0, fmt.Errorf("%q is longer than any time", value)
	}
	return uint64(total), nil
}

// bitmap reads a list such as "0-3,5" into bits, least first.
func bitmap(value string) ([]byte, error) {
	var bits []byte
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 16)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 16)
		}
		if err != nil || b < a || b >= 8192 {
			return nil, fmt.Errorf("%q is not a list such as 0-3,5", value)
		}
		for ; a <= b; a++ {
			for uint64(len(bits)) <= a/8 {
				bits = append(bits, 0)
			}
			bits[a/8] |= 1 << (a % 8)
		}
	}
	return bits, nil
}

// addressWords of systemd.resource-control(5), IPAddressAllow=.
var addressWords = map[string][]string{
	"any": {"0.0.0.0/0", "::/0"}, "localhost": {"127.0.0.0/8", "::1/128"},
	"link-local": {"169.254.0.0/16", "fe80::/64"}, "multicast": {"224.0.0.0/4", "ff00::/8"},
}

func addresses(value string) ([]Address, error) {
	list := []Address{}
	var words []string
	for _, w := range strings.Fields(value) {
		if expanded, ok := addressWords[w]; ok {
			words = append(words, expanded...)
			continue
		}
		words = append(words, w)
	}
	for _, w := range words {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a, aerr := netip.ParseAddr(w)
			if aerr != nil {
				return nil, fmt.Errorf("%q is not an address or a prefix", w)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		family := int32(afINET)
		if p.Addr().Is6() {
			family = afINET6
		}
		list = append(list, Address{family, p.Masked().Addr().AsSlice(), uint32(p.Bits())})
	}
	return list, nil
}

// bind reads "tcp:80", "ipv4:udp:1000-2000" or "any" (systemd.resource-control(5),
// SocketBindAllow=).
func bind(value string) (b Bind, err error) {
	fail := fmt.Errorf("%q is no ports, as in tcp:80, ipv6:1000-2000 or any", value)
	rest := value
	if family, after, ok := strings.Cut(rest, ":"); ok && (family == "ipv4" || family == "ipv6") {
		if b.Family, rest = afINET, after; family == "ipv6" {
			b.Family = afINET6
		}
	}
	if protocol, after, ok := strings.Cut(rest, ":"); ok || rest == "tcp" || rest == "udp" {
		switch protocol {
		case "tcp":
			b.Protocol = 6
		case "udp":
			b.Protocol = 17
		default:
			return b, fail
		}
		if rest = after; !ok {
			return b, nil // all of its ports
		}
	}
	if rest == "any" || rest == "ipv4" || rest == "ipv6" {
		switch rest {
		case "ipv4":
			b.Family = afINET
		case "ipv6":
			b.Family = afINET6
		}
		return b, nil
	}
	first, last, isRange := strings.Cut(rest, "-")
	from, err := strconv.ParseUint(first, 10, 16)
	to := from
	if err == nil && isRange {
		to, err = strconv.ParseUint(last, 10, 16)
	}
	if err != nil || from == 0 || to < from {
		return b, fail
	}
	b.First, b.Ports = uint16(from), uint16(to-from+1)
	return b, nil
}

// Numbers of NFTSet=: where elements come from (nft_set_source of systemd) and the
// kernel's families (NFPROTO_*).
var (
	setSources  = map[string]int32{"address": 0, "prefix": 1, "ifindex": 2, "cgroup": 3, "user": 4, "group": 5}
	setFamilies = map[string]int32{"inet": 1, "ip": 2, "arp": 3, "netdev": 5, "bridge": 7, "ip6": 10}
)

func sets(value string) (list []Set, err error) {
	for _, word := range strings.Fields(value) {
		parts := strings.Split(word, ":")
		source, family := int32(-1), int32(-1)
		if len(parts) == 4 {
			if n, ok := setSources[parts[0]]; ok {
				source = n
			}
			if n, ok := setFamilies[parts[1]]; ok {
				family = n
			}
		}
		if source < 3 || family < 0 {
			return nil, fmt.Errorf("%q is not SOURCE:FAMILY:TABLE:SET, as in cgroup:inet:filter:web", word)
		}
		list = append(list, Set{source, family, parts[2], parts[3]})
	}
	return list, nil
}
