// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// writeJSON prints an array of problems.
func (l List) writeJSON(w io.Writer) error {
	if l == nil {
		l = List{}
	}
	return encode(w, l)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// message is what is wrong and the cure, without the place.
func (p Problem) message() string {
	text := p.What
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Cure != "" {
		text += "; " + p.Cure
	}
	return text
}

func (p Problem) rule() string { return cmp.Or(p.Rule, RuleValue) }

// writeGitHub prints workflow commands, which a pull request shows at the line.
func (l List) writeGitHub(w io.Writer) error {
	for _, p := range l {
		place := "file=" + escapeProperty(p.File)
		if p.Line > 0 {
			place += fmt.Sprintf(",line=%d,col=%d", p.Line, max(p.Col, 1))
		}
		command := p.Severity.String()
		if p.Severity == Note {
			command = "notice"
		}
		_, err := fmt.Fprintf(w, "::%s %s,title=unitc %s::%s\n", command, place, p.rule(), escapeData(p.message()))
		if err != nil {
			return err
		}
	}
	return nil
}

// escapeData is the escaping of GitHub's workflow commands; properties end at
// commas and colons besides.
func escapeData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func escapeProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

// ruleTexts describe the kinds of faults in SARIF.
var ruleTexts = map[string]string{
	RuleValue:       "The key is right and its value is wrong",
	RuleType:        "The value has the wrong type",
	RuleUnknownKey:  "There is no such key",
	RuleDuplicate:   "The same thing stands twice",
	RuleConflict:    "Two keys exclude each other",
	RuleMissing:     "Something has to be there and is not",
	RuleReference:   "Something of that name is not there",
	RuleSyntax:      "The file is no YAML",
	RuleVariable:    "A variable can't be filled in",
	RuleLimit:       "The file has more than is allowed",
	RuleUnsupported: "unitc does not support a feature of Compose",
	RuleDirective:   "A value that systemd would not take",
	RuleRelaxation:  "A key opens what is closed by default",
	RuleHost:        "A start changes something of the host",
	RuleLoss:        "A conversion cannot take something along",
	RuleMeaning:     "Something means something else when it is converted",
	RuleDefault:     "Something needs no word when it is converted",
	RuleMove:        "Something is to be brought over by hand",
}

// The part of SARIF 2.1.0 (OASIS) that is needed.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
		Col  int `json:"startColumn"`
	}
)

func (l List) writeSARIF(w io.Writer, version string) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "unitc", Version: version, Rules: []sarifRule{}}
	var rules []string
	for _, p := range l {
		result := sarifResult{RuleID: p.rule(), Level: p.Severity.String(), Message: sarifText{p.message()}}
		place := sarifPhysical{Artifact: sarifArtifact{fileURI(p.File)}}
		if p.Line > 0 {
			place.Region = &sarifRegion{p.Line, max(p.Col, 1)}
		}
		result.Locations = []sarifLocation{{place}}
		run.Results = append(run.Results, result)
		if !slices.Contains(rules, result.RuleID) {
			rules = append(rules, result.RuleID)
		}
	}
	slices.Sort(rules)
	for _, id := range rules {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{id, sarifText{ruleTexts[id]}})
	}
	return encode(w, sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	})
}

// fileURI escapes a path as RFC 3986 asks; a relative one stays relative.
func fileURI(path string) string {
	const unreserved = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/@+=,"
	var b strings.Builder
	if filepath.IsAbs(path) {
		b.WriteString("file://")
	}
	for i := range len(path) {
		if strings.IndexByte(unreserved, path[i]) >= 0 {
			b.WriteByte(path[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", path[i])
		}
	}
	return b.String()
}
