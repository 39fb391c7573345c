package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// methods are those of reflect.Value that panic on what is no map.
var methods = map[string]string{
	"(reflect.Value).MapKeys":     "MapKeys",
	"(reflect.Value).MapRange":    "MapRange",
	"(reflect.Value).MapIndex":    "MapIndex",
	"(reflect.Value).SetMapIndex": "SetMapIndex",
}

// finding is a call that is wrong, or that nobody has made sure of.
type finding struct {
	at        token.Position
	text      string
	unchecked bool
}

// need is what a function asks of a parameter: that it is a map after some steps.
type need struct {
	index  int
	steps  string
	method string
	at     token.Position
}

// checker looks at the functions of all packages together. They know each other by their full names, since a package that
// is imported is not the one that was parsed.
type checker struct {
	needs    map[string][]need
	findings []finding
}

// site is a call in a function of a package.
type site struct {
	*source
	vars *variables
	// in is the function that was declared around it; empty where a variable of the package was.
	in     string
	params *types.Tuple
	path   []ast.Node
	call   *ast.CallExpr
}

// check finds the calls in all packages.
func check(packages []*source) []finding {
	c := &checker{needs: make(map[string][]need)}
	var sites []site
	for _, p := range packages {
		sites = append(sites, p.sites()...)
	}
	// What a function needs of its callers, they may need of theirs: until nothing new is learnt.
	for learnt := true; learnt; {
		learnt = false
		for _, s := range sites {
			learnt = c.learn(s) || learnt
		}
	}
	for _, s := range sites {
		c.judge(s)
	}
	return sorted(c.findings)
}

// sites are all calls in the functions of a package.
func (p *source) sites() []site {
	vars := declared(p.info, p.files)
	var sites []site
	for _, file := range p.files {
		for _, declaration := range file.Decls {
			s := site{source: p, vars: vars}
			if function, ok := declaration.(*ast.FuncDecl); ok {
				object, _ := p.info.Defs[function.Name].(*types.Func)
				if object == nil {
					continue
				}
				s.in = object.FullName()
				s.params = object.Type().(*types.Signature).Params()
			}
			var path []ast.Node
			ast.Inspect(declaration, func(n ast.Node) bool {
				if n == nil {
					path = path[:len(path)-1]
					return true
				}
				path = append(path, n)
				if call, ok := n.(*ast.CallExpr); ok {
					s.call, s.path = call, append([]ast.Node(nil), path...)
					sites = append(sites, s)
				}
				return true
			})
		}
	}
	return sites
}

// receiver is what one of the methods is called on, and its name.
func (s site) receiver() (ast.Expr, string) {
	method, ok := methods[calls(s.info, s.call)]
	if !ok {
		return nil, ""
	}
	selector, ofType := s.ofType()
	if !ofType {
		return selector.X, method
	}
	if len(s.call.Args) == 0 {
		return nil, ""
	}
	return s.call.Args[0], method
}

// learn notes what a call makes its function need of a parameter, and tells whether that is news.
func (c *checker) learn(s site) bool {
	// What is in a function literal runs when that is called, if ever.
	if s.in == "" || s.inLiteral() {
		return false
	}
	news := false
	note := func(v value, method string, at token.Position) {
		index := place(s.params, v.param)
		if v.param == nil || index < 0 || s.tested(v.param) {
			return
		}
		n := need{index: index, steps: v.steps, method: method, at: at}
		for _, known := range c.needs[s.in] {
			if known.index == n.index && known.steps == n.steps {
				return
			}
		}
		c.needs[s.in] = append(c.needs[s.in], n)
		news = true
	}
	if on, method := s.receiver(); on != nil {
		note(s.vars.value(on, s.params), method, s.position())
	}
	for _, n := range c.needs[calls(s.info, s.call)] {
		if v, ok := s.argument(n); ok {
			note(v, n.method, n.at)
		}
	}
	return news
}

func (s site) inLiteral() bool {
	for _, n := range s.path {
		if _, ok := n.(*ast.FuncLit); ok {
			return true
		}
	}
	return false
}

// ofType tells whether the function that is called is written as a method of a type, T.Method, whose receiver is its first
// argument.
func (s site) ofType() (*ast.SelectorExpr, bool) {
	selector, ok := plain(s.call.Fun).(*ast.SelectorExpr)
	return selector, ok && s.info.Types[selector.X].IsType()
}

// argument is what a call gives for a need of the function that is called.
func (s site) argument(n need) (value, bool) {
	signature, ok := s.info.TypeOf(s.call.Fun).(*types.Signature)
	if _, ofType := s.ofType(); ofType || !ok || n.index >= len(s.call.Args) || signature.Params().Len() != len(s.call.Args) || signature.Variadic() {
		return value{}, false
	}
	argument := s.call.Args[n.index]
	var v value
	if isReflectValue(signature.Params().At(n.index).Type()) {
		v = s.vars.value(argument, s.params)
	} else {
		v = s.vars.valueOf(argument, s.params)
	}
	for i := 0; i < len(n.steps); i++ {
		v = v.step(step(n.steps[i]))
	}
	return v, true
}

// judge reports a call that is wrong.
func (c *checker) judge(s site) {
	if on, method := s.receiver(); on != nil {
		v := s.vars.value(on, s.params)
		switch {
		case v.notMap():
			if !guarded(s.vars, s.path, on) {
				c.report(s, false, "%s is called on %s: it panics", method, s.words(v))
			}
		case !v.isMap() && !guarded(s.vars, s.path, on):
			c.report(s, true, "%s is called on a value that nobody has made sure is a map", method)
		}
	}
	name := calls(s.info, s.call)
	for _, n := range c.needs[name] {
		if v, ok := s.argument(n); ok && v.notMap() {
			at := fmt.Sprintf("%s:%d:%d", relative(n.at.Filename), n.at.Line, n.at.Column)
			c.report(s, false, "%s is called on %s, at %s: it panics", n.method, s.words(v), at)
		}
	}
}

func (c *checker) report(s site, unchecked bool, format string, arguments ...any) {
	c.findings = append(c.findings, finding{at: s.position(), text: fmt.Sprintf(format, arguments...), unchecked: unchecked})
}

func (s site) position() token.Position {
	at := s.call.Pos()
	if selector, ok := plain(s.call.Fun).(*ast.SelectorExpr); ok {
		at = selector.Sel.Pos()
	}
	return s.fset.Position(at)
}

// words are what a value holds, for people.
func (s site) words(v value) string {
	if v.of == nil {
		return "the reflect.Value of nil"
	}
	name := types.TypeString(v.of, types.RelativeTo(s.types))
	kind := ""
	switch under := v.of.Underlying().(type) {
	case *types.Struct:
		kind = "a struct"
	case *types.Pointer:
		kind = "a pointer"
		if _, ok := under.Elem().Underlying().(*types.Map); ok {
			kind = "a pointer to a map, which Elem leads to"
		}
	case *types.Interface:
		kind = "an interface, into which Elem leads"
	case *types.Slice:
		kind = "a slice"
	case *types.Array:
		kind = "an array"
	case *types.Chan:
		kind = "a channel"
	case *types.Signature:
		kind = "a function"
	}
	if kind == "" {
		return name + ", no map"
	}
	return name + ", " + kind
}

// tested tells whether the function decides anything by a parameter, or by what comes from it: then not every value that is
// given reaches the call. Whether it is nil says nothing of its kind.
func (s site) tested(param *types.Var) bool {
	from := map[types.Object]bool{param: true}
	uses := func(e ast.Node) bool {
		found := false
		ast.Inspect(e, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && from[s.info.ObjectOf(id)] {
				found = true
			}
			return !found
		})
		return found
	}
	// What is assigned from it comes from it; a chain of n variables takes n rounds at most.
	for more := true; more; {
		more = false
		taint := func(targets, values []ast.Expr) {
			for _, value := range values {
				if !uses(value) {
					continue
				}
				for _, target := range targets {
					if id, ok := plain(target).(*ast.Ident); ok {
						if object := s.info.ObjectOf(id); object != nil && !from[object] {
							from[object], more = true, true
						}
					}
				}
			}
		}
		ast.Inspect(s.path[0], func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				taint(n.Lhs, n.Rhs)
			case *ast.ValueSpec:
				for _, name := range n.Names {
					taint([]ast.Expr{name}, n.Values)
				}
			}
			return true
		})
	}
	tested := false
	condition := func(e ast.Expr) { tested = tested || e != nil && uses(e) && !s.comparesWithNil(e) }
	ast.Inspect(s.path[0], func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			condition(n.Cond)
		case *ast.ForStmt:
			condition(n.Cond)
		case *ast.SwitchStmt:
			condition(n.Tag)
		case *ast.CaseClause:
			for _, e := range n.List {
				condition(e)
			}
		case *ast.TypeAssertExpr:
			tested = tested || uses(n.X)
		}
		return !tested
	})
	return tested
}

// comparesWithNil tells whether a condition is x == nil or x != nil.
func (s site) comparesWithNil(e ast.Expr) bool {
	comparison, ok := plain(e).(*ast.BinaryExpr)
	return ok && (s.info.Types[comparison.X].IsNil() || s.info.Types[comparison.Y].IsNil())
}

func isReflectValue(t types.Type) bool {
	named, ok := t.(*types.Named)
	return ok && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "reflect" && named.Obj().Name() == "Value"
}
