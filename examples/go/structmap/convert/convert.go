// Package convert turns structs into maps in five ways that are safe: none panics on what it is given, none recurses
// without end, and no result shares memory with its input.
//
// All five agree on what comes out, but for what JSON cannot carry (see [JSON]):
//
//   - nil, a nil pointer and a nil map are a nil map, and no error;
//   - pointers are followed, however many; a map with text keys is copied;
//   - a field is named by its json tag, "-" leaves it out, and so does a name that begins with a small letter; other
//     options of the tag are read by JSON alone;
//   - fields of embedded structs stand among those around them, the outer ones first, as encoding/json has it;
//   - structs inside are maps, slices and arrays are []any, nil ones are nil, a time.Time stays one;
//   - other values have the predeclared type of their kind: of type Status int comes an int;
//   - a cycle is [ErrCycle], and so may be what is more than 300 levels deep;
//   - everything else (channels, functions, complex numbers, maps with other keys) is [ErrType].
package convert

import (
	"errors"
	"reflect"
	"time"
)

// Converter turns a struct, or what leads to one, into a map. It may be used by any number of goroutines.
type Converter interface {
	Name() string
	Map(any) (map[string]any, error)
}

// All are the five.
func All() []Converter {
	return []Converter{new(JSON), new(Decoder), new(Plan), new(Offsets), new(Generated)}
}

var (
	// ErrCycle tells that there is no end to what was given.
	ErrCycle = errors.New("structmap: a cycle, or hundreds of levels")
	// ErrType tells that there is no map for what was given.
	ErrType = errors.New("structmap: a type that has no place in a map")
)

// maxDepth is in steps from a value to the next: a pointer, and the struct behind it, are two.
const maxDepth = 1000

var timeType = reflect.TypeOf(time.Time{})

// root follows pointers and interfaces to a struct or a map; the zero Value stands for nil.
func root(x any) (reflect.Value, error) {
	v := reflect.ValueOf(x)
	for depth := 0; depth <= maxDepth; depth++ {
		switch v.Kind() {
		case reflect.Invalid:
			return v, nil
		case reflect.Pointer, reflect.Interface:
			if v.IsNil() {
				return reflect.Value{}, nil
			}
			v = v.Elem()
		case reflect.Struct:
			if v.Type() == timeType {
				return v, ErrType
			}
			return v, nil
		case reflect.Map:
			if v.Type().Key().Kind() != reflect.String {
				return v, ErrType
			}
			if v.IsNil() {
				return reflect.Value{}, nil
			}
			return v, nil
		default:
			return v, ErrType
		}
	}
	return v, ErrCycle
}

// plain is a value of a simple kind in the predeclared type of that kind.
func plain(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int:
		return int(v.Int()), nil
	case reflect.Int8:
		return int8(v.Int()), nil
	case reflect.Int16:
		return int16(v.Int()), nil
	case reflect.Int32:
		return int32(v.Int()), nil
	case reflect.Int64:
		return v.Int(), nil
	case reflect.Uint:
		return uint(v.Uint()), nil
	case reflect.Uint8:
		return uint8(v.Uint()), nil
	case reflect.Uint16:
		return uint16(v.Uint()), nil
	case reflect.Uint32:
		return uint32(v.Uint()), nil
	case reflect.Uint64:
		return v.Uint(), nil
	case reflect.Uintptr:
		return uintptr(v.Uint()), nil
	case reflect.Float32:
		return float32(v.Float()), nil
	case reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return v.String(), nil
	}
	return nil, ErrType
}
