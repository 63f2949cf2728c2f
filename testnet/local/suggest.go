package local

import (
	"reflect"
	"strings"

	"github.com/quorate/quorate/testnet/scenario"
)

// suggestion is what to say of a key that a TOML file's type does not have: the one that was meant, or all there are.
func suggestion(unknown string, into any) string {
	return scenario.Suggest(unknown, keysOf(into))
}

// keysOf are the names that a pointer to a struct has in a TOML file.
func keysOf(into any) []string {
	var keys []string
	t := reflect.TypeOf(into).Elem()
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("toml"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}
