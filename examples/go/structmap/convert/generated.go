package convert

import "reflect"

// Generated calls what gen has written for a type, without looking at types at all. Types that it was not run for go the way
// of [Plan].
type Generated struct{ other Plan }

// written are the functions of generated code: for each type that of its values, and that of pointers to it.
var written = map[reflect.Type]func(x any, depth int) (map[string]any, error){}

// fallback converts what is only known as the program runs.
var fallback Generated

// register is called by generated code.
func register[T any](mapOf func(*T, int) (map[string]any, error)) {
	var pointer *T
	written[reflect.TypeOf(pointer).Elem()] = func(x any, depth int) (map[string]any, error) {
		v := x.(T)
		return mapOf(&v, depth)
	}
	written[reflect.TypeOf(pointer)] = func(x any, depth int) (map[string]any, error) {
		if x.(*T) == nil {
			return nil, nil
		}
		return mapOf(x.(*T), depth)
	}
}

func (*Generated) Name() string { return "generated" }

func (c *Generated) Map(x any) (map[string]any, error) {
	if known, ok := written[reflect.TypeOf(x)]; ok {
		return known(x, 0)
	}
	v, err := root(x)
	if err != nil || !v.IsValid() {
		return nil, err
	}
	if v.CanAddr() {
		if known, ok := written[v.Addr().Type()]; ok {
			return known(v.Addr().Interface(), 0)
		}
	}
	return c.other.mapOf(v, 0)
}

// dynamic converts what is in an interface.
func dynamic(x any, depth int) (any, error) {
	if x == nil {
		return nil, nil
	}
	if depth > maxDepth {
		return nil, ErrCycle
	}
	if known, ok := written[reflect.TypeOf(x)]; ok {
		m, err := known(x, depth+1)
		if m == nil {
			return nil, err
		}
		return m, err
	}
	v := reflect.ValueOf(x)
	return conversion(v.Type())(&fallback.other, v, depth+1)
}
