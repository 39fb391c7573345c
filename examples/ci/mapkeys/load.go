package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// source is a package with its types.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
	types *types.Package
}

// listed is what go list tells of a package.
type listed struct {
	ImportPath      string
	Dir             string
	Export          string
	CompiledGoFiles []string
	ImportMap       map[string]string
	DepOnly         bool
	Module          *struct{ GoVersion string }
	Error           *struct{ Err string }
}

// load parses the packages of the patterns, seen from a folder, and finds their types. Those of imported packages come
// from the compiler.
func load(folder string, tests bool, patterns []string) ([]*source, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	version, err := goCommand(folder, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	if version := strings.TrimSpace(string(version)); version != runtime.Version() {
		return nil, fmt.Errorf("built with %s, and go is %s: the compiler's files can only be read by its own libraries", runtime.Version(), version)
	}
	arguments := []string{"list", "-json=ImportPath,Dir,Export,CompiledGoFiles,ImportMap,DepOnly,Module,Error", "-deps", "-export", "-compiled"}
	if tests {
		arguments = append(arguments, "-test")
	}
	output, err := goCommand(folder, append(append(arguments, "--"), patterns...)...)
	if err != nil {
		return nil, err
	}
	var wanted []*listed
	exports := make(map[string]string)
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		one := new(listed)
		if err := decoder.Decode(one); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if one.Error != nil {
			return nil, fmt.Errorf("%s: %s", one.ImportPath, one.Error.Err)
		}
		exports[one.ImportPath] = one.Export
		// The main package of a test is made up by the go command.
		if !one.DepOnly && !strings.HasSuffix(one.ImportPath, ".test") {
			wanted = append(wanted, one)
		}
	}
	fset := token.NewFileSet()
	shared := imports(fset, exports, nil)
	var loaded []*source
	for _, one := range wanted {
		from := shared
		if len(one.ImportMap) > 0 {
			from = imports(fset, exports, one.ImportMap)
		}
		source, err := one.parse(fset, from)
		if err != nil {
			return nil, err
		}
		loaded = append(loaded, source)
	}
	return loaded, nil
}

// imports reads packages from the files that the compiler wrote for them; some are known by another path.
func imports(fset *token.FileSet, exports, renamed map[string]string) types.Importer {
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if other, ok := renamed[path]; ok {
			path = other
		}
		file, ok := exports[path]
		if !ok || file == "" {
			return nil, fmt.Errorf("the compiler wrote nothing for %s", path)
		}
		return os.Open(file)
	})
}

func (l *listed) parse(fset *token.FileSet, from types.Importer) (*source, error) {
	s := &source{fset: fset, info: &types.Info{
		Types:      make(map[ast.Expr]types.TypeAndValue),
		Defs:       make(map[*ast.Ident]types.Object),
		Uses:       make(map[*ast.Ident]types.Object),
		Selections: make(map[*ast.SelectorExpr]*types.Selection),
	}}
	for _, name := range l.CompiledGoFiles {
		if !filepath.IsAbs(name) {
			name = filepath.Join(l.Dir, name)
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, file)
	}
	config := types.Config{Importer: from, Sizes: types.SizesFor("gc", runtime.GOARCH)}
	if l.Module != nil && l.Module.GoVersion != "" {
		config.GoVersion = "go" + l.Module.GoVersion
	}
	// "p [p.test]" is p with its test files.
	path, _, _ := strings.Cut(l.ImportPath, " ")
	var err error
	s.types, err = config.Check(path, fset, s.files, s.info)
	return s, err
}

func goCommand(folder string, arguments ...string) ([]byte, error) {
	command := exec.Command("go", arguments...)
	command.Dir = folder
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", arguments[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return output, nil
}
