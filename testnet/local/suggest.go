package local

import (
	"reflect"
	"strings"
)

// suggestion is what to say of a key that a TOML file's type does not have: the one that was meant, or all there are.
func suggestion(unknown string, into any) string {
	known := keysOf(into)
	best, least := "", len(unknown)/3+2
	for _, key := range known {
		if d := editDistance(unknown, key); d < least {
			best, least = key, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "there are " + strings.Join(known, ", ")
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

// editDistance is how many letters must be put in, taken out or changed to make b of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // from the letters of a so far to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
