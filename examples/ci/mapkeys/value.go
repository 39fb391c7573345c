package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// step is one way from a value to another.
type step byte

const (
	elem     step = 'e' // Value.Elem
	indirect step = 'i' // reflect.Indirect
)

// value is what is known of a reflect.Value: the type of what it holds, or the parameter it comes from and the steps
// since. The zero value knows nothing.
type value struct {
	// known tells that of is its type; nil is that of reflect.ValueOf(nil).
	known bool
	of    types.Type
	// param is what a caller gives: a reflect.Value, or an interface that was put into one.
	param *types.Var
	steps string
}

// step goes one step. What panics by itself, or depends on more than types, is known no more.
func (v value) step(s step) value {
	switch {
	case v.param != nil:
		// A recursion may put steps upon steps.
		if len(v.steps) == 8 {
			return value{}
		}
		v.steps += string(s)
		return v
	case !v.known || v.of == nil:
		return value{}
	}
	if pointer, ok := v.of.Underlying().(*types.Pointer); ok {
		return typed(pointer.Elem())
	}
	if s == indirect {
		return v
	}
	return value{}
}

// typed is a value that holds that type. What a type parameter stands for is not known.
func typed(t types.Type) value {
	if _, ok := t.(*types.TypeParam); ok {
		return value{}
	}
	return value{known: true, of: t}
}

// notMap tells whether it is known to hold no map.
func (v value) notMap() bool {
	if !v.known {
		return false
	}
	if v.of == nil {
		return true
	}
	_, ok := v.of.Underlying().(*types.Map)
	return !ok
}

// isMap tells whether it is known to hold one.
func (v value) isMap() bool { return v.known && !v.notMap() }

// variables are the local ones of a package.
type variables struct {
	info *types.Info
	// first is what they are given where they are declared.
	first map[types.Object]ast.Expr
	// changed are those that may be given something else later on.
	changed map[types.Object]bool
}

// declared looks through files for variables.
func declared(info *types.Info, files []*ast.File) *variables {
	v := &variables{info: info, first: make(map[types.Object]ast.Expr), changed: make(map[types.Object]bool)}
	assign := func(target, from ast.Expr) {
		id, ok := plain(target).(*ast.Ident)
		if !ok {
			return
		}
		if object := info.Defs[id]; object != nil {
			if from != nil {
				v.first[object] = from
			}
		} else if object := info.Uses[id]; object != nil {
			v.changed[object] = true
		}
	}
	each := func(targets, from []ast.Expr) {
		for i, target := range targets {
			if len(targets) == len(from) {
				assign(target, from[i])
			} else {
				assign(target, nil)
			}
		}
	}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				each(n.Lhs, n.Rhs)
			case *ast.ValueSpec:
				names := make([]ast.Expr, len(n.Names))
				for i, name := range n.Names {
					names[i] = name
				}
				each(names, n.Values)
			case *ast.RangeStmt:
				each([]ast.Expr{n.Key, n.Value}, nil)
			case *ast.UnaryExpr:
				// Whoever has its address may assign, too.
				if n.Op == token.AND {
					assign(n.X, nil)
				}
			}
			return true
		})
	}
	return v
}

// only is all that an identifier's variable is ever given; nil when that is not known. Variables of packages may be assigned
// elsewhere.
func (v *variables) only(id *ast.Ident) ast.Expr {
	object := v.info.Uses[id]
	if object == nil || v.changed[object] || object.Pkg() == nil || object.Parent() == object.Pkg().Scope() {
		return nil
	}
	return v.first[object]
}

// value is what is known of an expression that is a reflect.Value. params are those of the function it stands in.
func (v *variables) value(e ast.Expr, params *types.Tuple) value {
	switch e := plain(e).(type) {
	case *ast.Ident:
		if from := v.only(e); from != nil {
			return v.value(from, params)
		}
		return v.param(e, params)
	case *ast.CallExpr:
		switch name := calls(v.info, e); {
		case name == "reflect.ValueOf" && len(e.Args) == 1:
			return v.valueOf(e.Args[0], params)
		case name == "reflect.Indirect" && len(e.Args) == 1:
			return v.value(e.Args[0], params).step(indirect)
		case name == "(reflect.Value).Elem":
			if selector, ok := plain(e.Fun).(*ast.SelectorExpr); ok && len(e.Args) == 0 {
				return v.value(selector.X, params).step(elem)
			}
		}
	}
	return value{}
}

// valueOf is what reflect.ValueOf makes of an expression.
func (v *variables) valueOf(e ast.Expr, params *types.Tuple) value {
	t := v.info.TypeOf(e)
	if t == nil {
		return value{}
	}
	if basic, ok := t.(*types.Basic); ok && basic.Kind() == types.UntypedNil {
		return value{known: true}
	}
	if !types.IsInterface(t) {
		return typed(t)
	}
	switch e := plain(e).(type) {
	case *ast.Ident:
		if from := v.only(e); from != nil {
			return v.valueOf(from, params)
		}
		return v.param(e, params)
	case *ast.CallExpr:
		// A conversion to an interface keeps what is in it.
		if v.info.Types[e.Fun].IsType() && len(e.Args) == 1 {
			return v.valueOf(e.Args[0], params)
		}
	}
	return value{}
}

// param is what is known of a parameter that is never assigned.
func (v *variables) param(id *ast.Ident, params *types.Tuple) value {
	object, ok := v.info.Uses[id].(*types.Var)
	if !ok || v.changed[object] || place(params, object) < 0 {
		return value{}
	}
	return value{param: object}
}

// place is the place of a parameter among them, or -1.
func place(params *types.Tuple, object *types.Var) int {
	for i := 0; params != nil && i < params.Len(); i++ {
		if params.At(i) == object {
			return i
		}
	}
	return -1
}

// calls is the full name of the function that a call is of, such as (reflect.Value).MapKeys; empty when it is only known as
// the program runs.
func calls(info *types.Info, call *ast.CallExpr) string {
	var id *ast.Ident
	switch f := plain(call.Fun).(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return ""
	}
	function, ok := info.Uses[id].(*types.Func)
	if !ok {
		return ""
	}
	return function.Origin().FullName()
}

// plain is an expression without parentheses around it.
func plain(e ast.Expr) ast.Expr {
	for {
		inner, ok := e.(*ast.ParenExpr)
		if !ok {
			return e
		}
		e = inner.X
	}
}
