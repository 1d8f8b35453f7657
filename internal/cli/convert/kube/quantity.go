// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"math/big"
	"regexp"
	"strconv"
)

var (
	quantity = regexp.MustCompile(`^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?$`)
	decimals = map[string]int{"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
	binaries = map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
)

// Quantity reads an amount: 500m, 1Gi, 1e3, 100M.
func Quantity(text string) (*big.Rat, bool) {
	match := quantity.FindStringSubmatch(text)
	if match == nil || len(text) > 64 {
		return nil, false
	}
	n, ok := new(big.Rat).SetString(match[1])
	if !ok {
		return nil, false
	}
	if shift, ok := binaries[match[2]]; ok {
		return n.Mul(n, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), shift))), true
	}
	power := decimals[match[2]]
	if match[3] != "" {
		power, _ = strconv.Atoi(match[3])
	}
	factor := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(power, -power))), nil))
	if power < 0 {
		return n.Quo(n, factor), true
	}
	return n.Mul(n, factor), true
}

// Ceil is the next whole number, as Kubernetes rounds.
func Ceil(n *big.Rat) (int64, bool) {
	whole, rest := new(big.Int).QuoRem(n.Num(), n.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	return whole.Int64(), whole.IsInt64()
}

// Decimal writes a number with at most three digits behind the point: 0.5, 2.
func Decimal(n *big.Rat) string {
	milli, ok := Ceil(new(big.Rat).Mul(n, big.NewRat(1000, 1)))
	if !ok {
		return n.FloatString(3)
	}
	return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64)
}
