// Package good has calls that are in order, or that nothing is known to be wrong with. No function here panics.
package good

import "reflect"

type User struct{ Name string }

type Func struct {
	Name string
	Run  func()
}

var All = []Func{
	{"Map", Map}, {"Named", Named}, {"Guards", Guards}, {"Switches", Switches}, {"Reassigned", Reassigned}, {"Asserted", Asserted},
	{"Pointers", Pointers}, {"Shadowed", Shadowed}, {"Other", Other}, {"Literals", Literals}, {"Unreached", Unreached}, {"Expressions", Expressions},
}

type named map[string]int

func Map() {
	reflect.ValueOf(map[string]int{}).MapKeys()
	m := map[string]int{}
	reflect.ValueOf(&m).Elem().MapKeys()
	reflect.Indirect(reflect.ValueOf(&m)).MapRange()
	reflect.Indirect(reflect.ValueOf(m)).MapRange()
}

func Named() {
	v := reflect.ValueOf(named{})
	v.SetMapIndex(reflect.ValueOf("a"), reflect.ValueOf(1))
}

func guards(v reflect.Value) {
	if v.Kind() == reflect.Map {
		v.MapKeys()
	}
	if v.IsValid() && reflect.Map == v.Kind() && len(v.MapKeys()) > 0 {
		v.MapRange()
	}
	if k := v.Kind(); k != reflect.Map {
		return
	}
	v.MapKeys()
	for v.Kind() == reflect.Map {
		v.MapKeys()
		break
	}
}

func Guards() {
	guards(reflect.ValueOf(User{}))
	guards(reflect.ValueOf(map[string]int{}))
	v := reflect.ValueOf(User{})
	// Nobody comes here.
	if v.Kind() == reflect.Map {
		v.MapKeys()
	}
	if v.Kind() != reflect.Map || len(v.MapKeys()) > 1 {
		return
	}
	v.MapKeys()
}

func switches(x interface{}) {
	v := reflect.ValueOf(x)
	switch v.Kind() {
	case reflect.Struct:
	case reflect.Map:
		v.MapKeys()
	}
	switch {
	case v.Type().Kind() == reflect.Map:
		v.MapKeys()
	}
	switch kind := v.Kind(); kind {
	case reflect.Map:
		v.MapKeys()
	}
	if v.Kind() == reflect.Struct {
	} else if v.Kind() == reflect.Map {
		v.MapKeys()
	}
	if !(v.Kind() == reflect.Map) {
		return
	}
	v.MapKeys()
}

func Switches() {
	switches(User{})
	switches(map[string]int{})
}

func Reassigned() {
	v := reflect.ValueOf(User{})
	v = reflect.ValueOf(map[string]int{})
	v.MapKeys() // want unchecked
	w := reflect.ValueOf(User{})
	set(&w)
	w.MapKeys() // want unchecked
	var x interface{} = User{}
	x = map[string]int{}
	reflect.ValueOf(x).MapKeys() // want unchecked
}

func set(v *reflect.Value) { *v = reflect.ValueOf(map[string]int{}) }

func asserted(x interface{}) int {
	if _, ok := x.(User); ok {
		return 0
	}
	return len(reflect.ValueOf(x).MapKeys()) // want unchecked
}

func isMap(v reflect.Value) bool { return v.Kind() == reflect.Map }

func asked(x interface{}) int {
	v := reflect.ValueOf(x)
	if !isMap(v) {
		return 0
	}
	return len(v.MapKeys()) // want unchecked
}

func Asserted() {
	asserted(User{})
	asserted(map[string]int{})
	asked(User{})
}

func pointers(v reflect.Value) int {
	for v.Kind() == reflect.Ptr {
		v = v.Elem()
	}
	return len(v.MapKeys()) // want unchecked
}

func Pointers() {
	m := map[string]int{}
	pointers(reflect.ValueOf(&m))
}

func Shadowed() {
	v := reflect.ValueOf(User{})
	{
		v := reflect.ValueOf(map[string]int{})
		v.MapKeys()
	}
	_ = v
}

type own struct{}

func (own) MapKeys() {}

func Other() {
	own{}.MapKeys()
	var keyed interface{ MapKeys() } = own{}
	keyed.MapKeys()
}

func later(x interface{}) func() {
	return func() { reflect.ValueOf(x).MapKeys() } // want unchecked
}

func Literals() { later(User{}) }

// Unreached: a type parameter may be a map, and what is in an interface may be one.
func Unreached() {
	of(map[string]int{})
	values := []interface{}{map[string]int{}}
	for _, value := range values {
		reflect.ValueOf(value).MapKeys() // want unchecked
	}
	type pair struct{ First interface{} }
	p := pair{map[string]int{}}
	reflect.ValueOf(p).Field(0).Elem().MapKeys() // want unchecked
}

func of[T any](x T) int { return len(reflect.ValueOf(&x).Elem().MapKeys()) } // want unchecked

type methods struct{}

func (methods) keys(x interface{}) int { return len(reflect.ValueOf(x).MapKeys()) } // want unchecked

// Expressions have their receiver as their first argument.
func Expressions() {
	methods.keys(methods{}, map[string]int{})
}
