package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// inside changes to a folder of testdata until the test ends.
func inside(t *testing.T, folder string) {
	t.Helper()
	before, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chdir(filepath.Join("testdata", folder)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Chdir(before); err != nil {
			t.Fatal(err)
		}
	})
}

// line is a place in a file of testdata.
type line struct {
	file   string
	number int
}

var (
	wanted = regexp.MustCompile(`// want ("(?:[^"\\]|\\.)*"|unchecked)$`)
	begins = regexp.MustCompile(`^func (?:\([^)]*\) )?(\w+)`)
)

// wants are the comments of a folder by line, and the function that each stands in.
func wants(t *testing.T, folder string) (map[line]string, map[line]string) {
	t.Helper()
	comments, functions := make(map[line]string), make(map[line]string)
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		function := ""
		lines := bufio.NewScanner(file)
		for number := 1; lines.Scan(); number++ {
			if found := begins.FindStringSubmatch(lines.Text()); found != nil {
				function = found[1]
			}
			if found := wanted.FindStringSubmatch(lines.Text()); found != nil {
				at := line{file: name, number: number}
				comments[at], functions[at] = found[1], function
			}
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return comments, functions
}

func findings(t *testing.T, patterns ...string) []finding {
	t.Helper()
	packages, err := load(".", true, patterns)
	if err != nil {
		t.Fatal(err)
	}
	return check(packages)
}

func TestCallsOnWhatIsNoMap(t *testing.T) {
	inside(t, "")
	comments, _ := wants(t, "bad")
	for _, f := range findings(t, "./bad") {
		if f.unchecked {
			continue
		}
		at := line{file: relative(f.at.Filename), number: f.at.Line}
		want, err := strconv.Unquote(comments[at])
		if err != nil {
			t.Errorf("nobody wants %s", f)
			continue
		}
		if !regexp.MustCompile(want).MatchString(f.text) {
			t.Errorf("%s\nwants %s", f, want)
		}
		delete(comments, at)
	}
	for at, want := range comments {
		t.Errorf("%v: nothing for %s", at, want)
	}
}

func TestCallsThatAreLeftAlone(t *testing.T) {
	inside(t, "")
	comments, _ := wants(t, "good")
	for _, f := range findings(t, "./good") {
		at := line{file: relative(f.at.Filename), number: f.at.Line}
		if !f.unchecked || comments[at] != "unchecked" {
			t.Errorf("nobody wants %s", f)
		}
		delete(comments, at)
	}
	for at := range comments {
		t.Errorf("%v: nothing", at)
	}
}

// Whatever is reported panics when it is run, and what is left alone does not.
func TestReportsAreTrue(t *testing.T) {
	inside(t, "")
	command := exec.Command("go", "run", "./run")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, functions := wants(t, "bad")
	reported := make(map[string]bool)
	for at, function := range functions {
		if !strings.HasSuffix(at.file, "_test.go") {
			reported[function] = true
		}
	}
	good := 0
	for _, said := range strings.Split(strings.TrimSpace(string(output)), "\n") {
		var name string
		var panics, kind bool
		if _, err := fmt.Sscan(said, &name, &panics, &kind); err != nil {
			t.Fatal(said, err)
		}
		folder, function, _ := strings.Cut(name, ".")
		if bad := folder == "bad"; bad != panics || bad != kind {
			t.Errorf("%s: panics %v, because of the kind %v", name, panics, kind)
		}
		if folder == "bad" && !reported[function] {
			t.Errorf("%s panics and is not reported", name)
		}
		if folder == "good" {
			good++
		}
		delete(reported, function)
	}
	if good < 10 || len(reported) > 0 {
		t.Errorf("%d good functions, not run: %v", good, reported)
	}
}

func TestExitStatuses(t *testing.T) {
	for _, c := range []struct {
		folder    string
		arguments []string
		status    int
		said      string
	}{
		{"", []string{"./bad"}, found, "bad/bad.go:"},
		{"", []string{"-tests=false", "./bad"}, found, "bad/bad.go:"},
		{"", []string{"./good"}, 0, ""},
		{"", []string{"-unchecked", "./good"}, found, "good/good.go:"},
		{"", nil, found, "bad/bad_test.go:"},
		{"", []string{"./nowhere"}, failed, "nowhere"},
		{"", []string{"-nonsense"}, failed, "flag provided but not defined"},
		{"broken", nil, failed, "broken.go:4"},
	} {
		t.Run(fmt.Sprint(c.folder, c.arguments), func(t *testing.T) {
			inside(t, c.folder)
			var stdout, stderr bytes.Buffer
			status := run(c.arguments, &stdout, &stderr)
			said := stdout.String() + stderr.String()
			if status != c.status || !strings.Contains(said, c.said) || c.said == "" && said != "" {
				t.Errorf("%d: %s", status, said)
			}
			if c.status == failed && stdout.Len() > 0 {
				t.Errorf("a failure that finds something: %s", stdout.String())
			}
		})
	}
}

// Types that another compiler wrote cannot be read, and that is said.
func TestAnotherGoIsRefused(t *testing.T) {
	folder := t.TempDir()
	other := "#!/bin/sh\necho go1.2.3\n"
	if err := os.WriteFile(filepath.Join(folder, "go"), []byte(other), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	var stdout, stderr bytes.Buffer
	if status := run(nil, &stdout, &stderr); status != failed || !strings.Contains(stderr.String(), "built with "+runtime.Version()+", and go is go1.2.3") {
		t.Errorf("%d: %s", status, stderr.String())
	}
}
