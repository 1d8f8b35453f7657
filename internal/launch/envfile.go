// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/unitc/unitc/internal/definition"
)

// maxEnvFile bounds an env file, in bytes; execve(2) takes less.
const maxEnvFile = 1 << 20

func readEnvFile(e definition.EnvFile) ([]definition.Env, error) {
	f, err := os.Open(e.Path)
	if errors.Is(err, fs.ErrNotExist) && e.Optional {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxEnvFile {
		return nil, fmt.Errorf("%s is larger than %d KiB", e.Path, maxEnvFile>>10)
	}
	vars, line, err := parseEnv(string(data), e.Raw)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", e.Path, line, err)
	}
	return vars, nil
}

// parseEnv reads Compose's env file: NAME=VALUE lines, `#` comments, quotes
// that may span lines; raw takes the rest of the line as it is.
func parseEnv(data string, raw bool) (vars []definition.Env, line int, err error) {
	for data != "" {
		line++
		var text string
		text, data, _ = strings.Cut(data, "\n")
		text = strings.TrimSuffix(strings.TrimLeft(text, " \t"), "\r")
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, has := strings.Cut(strings.TrimPrefix(text, "export "), "=")
		name = strings.TrimSpace(name)
		if name == "" || strings.ContainsAny(name, " \t\"'") {
			return nil, line, fmt.Errorf("%q is not NAME=VALUE", text)
		}
		if !has {
			continue // as an entry without a value in `environment`: unset
		}
		if !raw {
			start := line
			if value, data, err = unquoteEnv(strings.TrimLeft(value, " \t"), data, &line); err != nil {
				return nil, start, err
			}
		}
		vars = append(vars, definition.Env{Name: name, Value: &value})
	}
	return vars, line, nil
}

// unquoteEnv takes the quotes off; a quoted value may go on in the next lines.
func unquoteEnv(value, rest string, line *int) (string, string, error) {
	if value == "" || (value[0] != '"' && value[0] != '\'') {
		if i := strings.Index(value, " #"); i >= 0 {
			value = value[:i]
		}
		return strings.TrimRight(value, " \t"), rest, nil
	}
	quote, text := value[0], value[1:]
	var b strings.Builder
	for {
		for i := 0; i < len(text); i++ {
			switch {
			case text[i] == quote:
				return b.String(), rest, nil
			case text[i] == '\\' && quote == '"' && i+1 < len(text):
				i++
				b.WriteString(unescapeEnv(text[i]))
			default:
				b.WriteByte(text[i])
			}
		}
		if rest == "" {
			return "", "", fmt.Errorf("a quote %c is not closed", quote)
		}
		b.WriteByte('\n')
		*line++
		text, rest, _ = strings.Cut(rest, "\n")
	}
}

func unescapeEnv(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case '"', '\\', '$':
		return string(c)
	}
	return `\` + string(c)
}
