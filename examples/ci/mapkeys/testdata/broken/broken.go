// Package broken does not compile.
package broken

var keys int = "none"
