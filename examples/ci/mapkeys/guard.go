package main

import (
	"go/ast"
	"go/token"
	"go/types"
)

// guarded tells whether somebody has made sure, on every way to the last node of a path, that Kind of an expression is
// reflect.Map. path leads from the function down to the call.
func guarded(v *variables, path []ast.Node, on ast.Expr) bool {
	for i := len(path) - 2; i >= 0; i-- {
		below := path[i+1]
		switch n := path[i].(type) {
		case *ast.BinaryExpr:
			// What stands on the right of && is looked at when the left is so, and of || when it is not.
			if n.Y == below && (n.Op == token.LAND && v.ensures(n.X, on, true) || n.Op == token.LOR && v.ensures(n.X, on, false)) {
				return v.kept(on, n.X, path)
			}
		case *ast.IfStmt:
			if n.Body == below && v.ensures(n.Cond, on, true) || n.Else == below && v.ensures(n.Cond, on, false) {
				return v.kept(on, n.Cond, path)
			}
		case *ast.ForStmt:
			if n.Body == below && v.ensures(n.Cond, on, true) {
				return v.kept(on, n.Cond, path)
			}
		case *ast.CaseClause:
			if tag := v.choice(path, i); v.chooses(tag, n, on) {
				return v.kept(on, n, path)
			}
			if before(v, n.Body, below, on, path) {
				return true
			}
		case *ast.CommClause:
			if before(v, n.Body, below, on, path) {
				return true
			}
		case *ast.BlockStmt:
			if before(v, n.List, below, on, path) {
				return true
			}
		}
	}
	return false
}

// before tells whether a statement above leaves the block unless the kind is right.
func before(v *variables, list []ast.Stmt, below ast.Node, on ast.Expr, path []ast.Node) bool {
	for _, statement := range list {
		if statement == below {
			break
		}
		test, ok := statement.(*ast.IfStmt)
		if ok && test.Else == nil && v.ensures(test.Cond, on, false) && v.leaves(test.Body) {
			return v.kept(on, test, path)
		}
	}
	return false
}

// ensures tells whether the kind is that of a map when a condition comes out so.
func (v *variables) ensures(condition, on ast.Expr, so bool) bool {
	switch c := plain(condition).(type) {
	case *ast.UnaryExpr:
		return c.Op == token.NOT && v.ensures(c.X, on, !so)
	case *ast.BinaryExpr:
		switch c.Op {
		case token.LAND, token.LOR:
			// One part is enough where both are so (of &&), or neither (of ||).
			if so == (c.Op == token.LAND) {
				return v.ensures(c.X, on, so) || v.ensures(c.Y, on, so)
			}
			return v.ensures(c.X, on, so) && v.ensures(c.Y, on, so)
		case token.EQL, token.NEQ:
			compares := v.isKind(c.X, on) && v.isMapKind(c.Y) || v.isKind(c.Y, on) && v.isMapKind(c.X)
			return compares && so == (c.Op == token.EQL)
		}
	}
	return false
}

// choice is the tag of the switch that a clause at a place of the path belongs to; nil where there is none.
func (v *variables) choice(path []ast.Node, clause int) ast.Expr {
	if clause >= 2 {
		if n, ok := path[clause-2].(*ast.SwitchStmt); ok {
			return n.Tag
		}
	}
	return nil
}

// chooses tells whether a clause is for maps alone.
func (v *variables) chooses(tag ast.Expr, clause *ast.CaseClause, on ast.Expr) bool {
	for _, e := range clause.List {
		if tag == nil && !v.ensures(e, on, true) || tag != nil && !(v.isKind(tag, on) && v.isMapKind(e)) {
			return false
		}
	}
	return len(clause.List) > 0
}

// isKind tells whether an expression is Kind of that value, or of its Type.
func (v *variables) isKind(e, on ast.Expr) bool {
	call, ok := v.given(e).(*ast.CallExpr)
	if !ok {
		return false
	}
	selector, ok := plain(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch calls(v.info, call) {
	case "(reflect.Value).Kind":
		return v.same(selector.X, on)
	case "(reflect.Type).Kind":
		of, ok := v.given(selector.X).(*ast.CallExpr)
		if !ok || calls(v.info, of) != "(reflect.Value).Type" {
			return false
		}
		inner, ok := plain(of.Fun).(*ast.SelectorExpr)
		return ok && v.same(inner.X, on)
	}
	return false
}

// given is what a variable was given, or the expression itself.
func (v *variables) given(e ast.Expr) ast.Expr {
	if id, ok := plain(e).(*ast.Ident); ok {
		if from := v.only(id); from != nil {
			return plain(from)
		}
	}
	return plain(e)
}

func (v *variables) isMapKind(e ast.Expr) bool {
	constant := v.info.Types[e]
	if constant.Value == nil || constant.Type.String() != "reflect.Kind" {
		return false
	}
	// As reflect declares it, whatever it is called here.
	var id *ast.Ident
	switch e := plain(e).(type) {
	case *ast.Ident:
		id = e
	case *ast.SelectorExpr:
		id = e.Sel
	default:
		return false
	}
	object := v.info.Uses[id]
	return object != nil && object.Name() == "Map" && object.Pkg().Path() == "reflect"
}

// same tells whether two expressions are one variable, or the same way from one.
func (v *variables) same(a, b ast.Expr) bool {
	a, b = plain(a), plain(b)
	if x, ok := a.(*ast.Ident); ok {
		y, ok := b.(*ast.Ident)
		return ok && v.info.ObjectOf(x) == v.info.ObjectOf(y)
	}
	return types.ExprString(a) == types.ExprString(b)
}

// kept tells whether nothing in the function assigns to the variables of an expression between a test and the call.
func (v *variables) kept(on ast.Expr, test ast.Node, path []ast.Node) bool {
	used := make(map[types.Object]bool)
	ast.Inspect(on, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			used[v.info.ObjectOf(id)] = true
		}
		return true
	})
	kept := true
	call := path[len(path)-1]
	ast.Inspect(path[0], func(n ast.Node) bool {
		assign, ok := n.(*ast.AssignStmt)
		if !ok || assign.Pos() < test.Pos() || assign.Pos() > call.Pos() {
			return true
		}
		for _, target := range assign.Lhs {
			if id, ok := plain(target).(*ast.Ident); ok && used[v.info.ObjectOf(id)] {
				kept = false
			}
		}
		return true
	})
	return kept
}

// leaves tells whether nothing behind a block is reached through it.
func (v *variables) leaves(block *ast.BlockStmt) bool {
	if len(block.List) == 0 {
		return false
	}
	switch last := block.List[len(block.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	case *ast.ExprStmt:
		call, ok := last.X.(*ast.CallExpr)
		if !ok {
			return false
		}
		if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
			return true
		}
		switch calls(v.info, call) {
		case "os.Exit", "log.Fatal", "log.Fatalf", "log.Fatalln", "runtime.Goexit",
			"(*testing.common).Fatal", "(*testing.common).Fatalf", "(*testing.common).FailNow", "(*testing.common).Skip", "(*testing.common).Skipf":
			return true
		}
	}
	return false
}
