// Package bad has calls on what is no map. Every function here panics with a *reflect.ValueError when it is called.
package bad

import (
	"reflect"
	r "reflect"
)

// User is what somebody took for a map.
type User struct{ Name string }

// Func is a function that panics.
type Func struct {
	Name string
	Run  func()
}

// All are the functions of this package.
var All = []Func{
	{"Struct", Struct}, {"Pointer", Pointer}, {"PointerToMap", PointerToMap}, {"Variables", Variables},
	{"Indirect", Indirect}, {"Interface", Interface}, {"Converted", Converted}, {"Expression", Expression},
	{"Range", Range}, {"Index", Index}, {"Set", Set}, {"Nil", Nil}, {"Literal", Literal}, {"WrongGuard", WrongGuard},
	{"Incident", Incident}, {"Given", Given}, {"Farther", Farther}, {"Generic", Generic}, {"Method", Method},
}

func Struct() {
	reflect.ValueOf(User{}).MapKeys() // want "MapKeys is called on User, a struct: it panics"
}

func Pointer() {
	u := &User{}
	r.ValueOf(u).MapKeys() // want "MapKeys is called on \\*User, a pointer: it panics"
}

func PointerToMap() {
	m := map[string]int{}
	reflect.ValueOf(&m).MapKeys() // want "map\\[string\\]int, a pointer to a map, which Elem leads to: it panics"
}

func Variables() {
	u := User{}
	v := reflect.ValueOf(u)
	w := v
	var keys = (w).MapKeys() // want "on User, a struct"
	_ = keys
}

func Indirect() {
	v := reflect.Indirect(reflect.ValueOf(&User{}))
	v.MapKeys()                               // want "on User, a struct"
	reflect.ValueOf(&User{}).Elem().MapKeys() // want "on User, a struct"
}

func Interface() {
	var any interface{} = map[string]int{}
	reflect.ValueOf(&any).Elem().MapKeys() // want "on interface{}, an interface, into which Elem leads"
}

func Converted() {
	x := interface{}([]int{1})
	reflect.ValueOf(x).MapKeys() // want "on \\[\\]int, a slice"
}

func Expression() {
	reflect.Value.MapKeys(reflect.ValueOf(7)) // want "on int, no map"
}

func Range() {
	for iter := reflect.ValueOf([2]int{}).MapRange(); iter.Next(); { // want "MapRange is called on \\[2\\]int, an array"
		return
	}
}

func Index() {
	reflect.ValueOf("text").MapIndex(reflect.ValueOf(0)) // want "MapIndex is called on string, no map"
}

func Set() {
	u := User{}
	reflect.ValueOf(&u).Elem().SetMapIndex(reflect.ValueOf("Name"), reflect.ValueOf("x")) // want "SetMapIndex is called on User"
}

func Nil() {
	reflect.ValueOf(nil).MapKeys() // want "on the reflect.Value of nil: it panics"
}

func Literal() {
	v := reflect.ValueOf(func() {})
	func() { v.MapKeys() }() // want "on func\\(\\), a function"
}

func WrongGuard() {
	v := reflect.ValueOf(User{})
	if v.Kind() != reflect.Map {
		v.MapKeys() // want "on User"
	}
}

// StructToMap is the conversion of the incident: right for maps, and given pointers to structs.
func StructToMap(object interface{}) map[string]interface{} {
	out := make(map[string]interface{})
	if object == nil {
		return out
	}
	value := reflect.ValueOf(object)
	for _, key := range value.MapKeys() {
		out[key.String()] = value.MapIndex(key).Interface()
	}
	return out
}

func Incident() {
	StructToMap(map[string]int{"a": 1})
	StructToMap(&User{}) // want "MapKeys is called on \\*User, a pointer, at bad/bad.go:[0-9]+:28: it panics"
}

func keys(v reflect.Value) []reflect.Value { return reflect.Indirect(v).MapKeys() }

func Given() {
	keys(reflect.ValueOf(map[string]int{}))
	keys(reflect.ValueOf(&map[string]int{}))
	keys(reflect.ValueOf(User{})) // want "MapKeys is called on User, a struct, at bad/bad.go"
}

func far(n int, object interface{}) int { return len(keys(reflect.ValueOf(object))) + n }

func Farther() {
	far(1, map[int]int{})
	far(1, &User{}) // want "MapKeys is called on User, a struct, at bad/bad.go"
}

func of[T any](x T) int { return len(reflect.ValueOf(x).MapKeys()) }

func Generic() {
	of(map[string]int{})
	of(User{}) // want "on User, a struct, at bad/bad.go"
}

type converter struct{}

func (converter) convert(x interface{}) { reflect.ValueOf(x).MapKeys() }

func Method() {
	converter{}.convert(User{}) // want "on User, a struct, at bad/bad.go"
}
