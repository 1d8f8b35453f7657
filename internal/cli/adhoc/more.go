// SPDX-License-Identifier: Apache-2.0

package adhoc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/unitc/unitc/internal/cli/convert"
)

// moreFlags binds the options of docker run that convert knows, so that one table says
// what each of them means.
func (o *Options) moreFlags(f *pflag.FlagSet) {
	for _, r := range convert.RunOptions() {
		flag := f.VarPF(&moreOption{o, r}, r.Name, r.Short, "is "+r.Key+" of a definition")
		if r.Flag {
			flag.NoOptDefVal = "true"
		}
	}
}

// moreOption keeps what is given, in its order.
type moreOption struct {
	of     *Options
	option convert.RunOption
}

func (m *moreOption) String() string { return "" }

func (m *moreOption) Type() string {
	if m.option.Flag {
		return "bool"
	}
	return "VALUE"
}

func (m *moreOption) Set(text string) error {
	if m.option.Flag {
		if _, err := strconv.ParseBool(text); err != nil {
			return errors.New("want true or false")
		}
	}
	m.of.more = append(m.of.more, convert.Given{Name: m.option.Name, Value: text})
	return nil
}

// Platform is that of --platform, "" for none.
func (o *Options) Platform() (platform string) {
	for _, g := range o.more {
		if g.Name == "platform" {
			platform = g.Value
		}
	}
	return platform
}

// overlay is what these options lay over the definition; remarks say what is meant
// otherwise than by docker.
func (o *Options) overlay() (text []byte, remarks []string, err error) {
	if len(o.more) == 0 {
		return nil, nil, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, nil, fmt.Errorf("getting the working directory: %w", err)
	}
	return convert.Overlay(convert.Host{Dir: dir, Getenv: os.LookupEnv, ReadFile: os.ReadFile}, o.more)
}

// keysOfMore are the keys that problems of a check may be about, with their options.
func keysOfMore() map[string]string {
	keys := map[string]string{}
	for _, r := range convert.RunOptions() {
		key, _, _ := strings.Cut(r.Key, ":")
		if _, ok := keys[key]; ok && key != r.Key {
			keys[key] = "" // of several, it is not known which
			continue
		}
		keys[key] = "--" + r.Name
	}
	return keys
}
