// Command mapkeys finds calls of MapKeys, MapRange, MapIndex and SetMapIndex on a reflect.Value that is no map. Each of
// them panics, and no compiler and no vet says so before it runs.
//
//	mapkeys [-unchecked] [-tests=false] [PACKAGE...]
//
// PACKAGE is a pattern as go list takes it, by default ./... It prints file:line:column: and a sentence for each call, and
// exits 0 when there are none, 1 when there are, 2 when it could not tell.
//
// A call is reported where what it is made on is known: reflect.ValueOf of an expression whose type is no interface, as it
// stands or through reflect.Indirect, Elem, variables that are assigned once, and parameters of functions of the same
// run. What it reports panics when it is reached with that value. Everything else is left alone, unless -unchecked asks
// for calls before which nobody has looked whether Kind is reflect.Map.
//
// It must be built with the Go that is in PATH, whose compiler writes the types of imported packages. Standard library
// only.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const (
	found  = 1
	failed = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mapkeys", flag.ContinueOnError)
	flags.SetOutput(stderr)
	unchecked := flags.Bool("unchecked", false, "also report calls on values of unknown kind that no test of Kind goes before")
	tests := flags.Bool("tests", true, "look at test files, too")
	if err := flags.Parse(arguments); err != nil {
		return failed
	}
	packages, err := load(".", *tests, flags.Args())
	if err != nil {
		fmt.Fprintln(stderr, "mapkeys:", err)
		return failed
	}
	findings := check(packages)
	status := 0
	for _, finding := range findings {
		if finding.unchecked && !*unchecked {
			continue
		}
		fmt.Fprintln(stdout, finding)
		status = found
	}
	return status
}

// String is what go vet prints of a finding.
func (f finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", relative(f.at.Filename), f.at.Line, f.at.Column, f.text)
}

// relative is a path from here, unless it leads far away.
func relative(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}

// sorted puts findings in the order of their places and drops what is told twice: a package and its tests share files.
func sorted(findings []finding) []finding {
	sort.SliceStable(findings, func(i, j int) bool {
		a, b := findings[i].at, findings[j].at
		if a.Filename != b.Filename {
			return a.Filename < b.Filename
		}
		return a.Offset < b.Offset
	})
	var kept []finding
	told := make(map[finding]bool)
	for _, f := range findings {
		if !told[f] {
			kept = append(kept, f)
		}
		told[f] = true
	}
	return kept
}
