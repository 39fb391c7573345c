package convert

import (
	"reflect"
	"sync"
	"time"
	"unsafe"
)

// Offsets looks at each type once, and from then on reads fields at their distance from where the struct begins. No field
// is read by reflection: of package reflect a call uses TypeOf and UnsafePointer, which read the two words of an interface.
//
// It does not go further. Through go:linkname one could also call runtime.mapassign and walk maps without reflect; but
// these functions promise nothing: since Go 1.23 the linker refuses names that the runtime does not offer, and Go 1.24 put
// other maps behind those that it still tolerates. What breaks there breaks memory, not the build. Maps other than the
// common ones, interfaces with methods, and structs that are not given by pointer are left to [Plan].
type Offsets struct {
	plans sync.Map
	other Plan
}

// load reads what is at an address.
type load func(c *Offsets, at unsafe.Pointer, depth int) (any, error)

type layout []placed

type placed struct {
	name string
	// hops are the distances from one struct to the pointer to the next, for fields behind embedded pointers.
	hops   []uintptr
	offset uintptr
	load   load
}

// header is that of a slice, as unsafe.Slice and reflect.SliceHeader have it.
type header struct {
	data unsafe.Pointer
	len  int
	cap  int
}

func (*Offsets) Name() string { return "offsets" }

func (c *Offsets) Map(x any) (map[string]any, error) {
	t := reflect.TypeOf(x)
	if t != nil && t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t.Elem() != timeType {
		at := reflect.ValueOf(x).UnsafePointer()
		if at == nil {
			return nil, nil
		}
		return c.mapAt(t.Elem(), at, 0)
	}
	v, err := root(x)
	switch {
	case err != nil || !v.IsValid():
		return nil, err
	case v.CanAddr() && v.Kind() == reflect.Struct:
		return c.mapAt(v.Type(), v.Addr().UnsafePointer(), 0)
	}
	return c.other.mapOf(v, 0)
}

// mapAt is the map of the struct of that type at an address. The caller holds a pointer to it, so that it stays.
func (c *Offsets) mapAt(t reflect.Type, at unsafe.Pointer, depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, ErrCycle
	}
	fields := c.layout(t)
	out := make(map[string]any, len(fields))
fields:
	for i := range fields {
		f := &fields[i]
		from := at
		for _, hop := range f.hops {
			if from = *(*unsafe.Pointer)(unsafe.Add(from, hop)); from == nil {
				// It is in an embedded struct that is not there.
				continue fields
			}
		}
		value, err := f.load(c, unsafe.Add(from, f.offset), depth+1)
		if err != nil {
			return nil, err
		}
		out[f.name] = value
	}
	return out, nil
}

func (c *Offsets) layout(t reflect.Type) layout {
	if known, ok := c.plans.Load(t); ok {
		return known.(layout)
	}
	var made layout
	for _, f := range Fields(t) {
		p := placed{name: f.Name, load: loads(f.Type)}
		in := t
		for _, i := range f.Index {
			if in.Kind() == reflect.Pointer {
				p.hops = append(p.hops, p.offset)
				p.offset, in = 0, in.Elem()
			}
			p.offset += in.Field(i).Offset
			in = in.Field(i).Type
		}
		made = append(made, p)
	}
	c.plans.Store(t, made)
	return made
}

func direct[T any](_ *Offsets, at unsafe.Pointer, _ int) (any, error) { return *(*T)(at), nil }

var simple = map[reflect.Kind]load{
	reflect.Bool: direct[bool], reflect.String: direct[string],
	reflect.Int: direct[int], reflect.Int8: direct[int8], reflect.Int16: direct[int16], reflect.Int32: direct[int32], reflect.Int64: direct[int64],
	reflect.Uint: direct[uint], reflect.Uint8: direct[uint8], reflect.Uint16: direct[uint16], reflect.Uint32: direct[uint32], reflect.Uint64: direct[uint64],
	reflect.Uintptr: direct[uintptr], reflect.Float32: direct[float32], reflect.Float64: direct[float64],
}

// loads is how a field of a type is read.
func loads(t reflect.Type) load {
	if read, ok := simple[t.Kind()]; ok {
		return read
	}
	switch {
	case t == timeType:
		return direct[time.Time]
	case t.Kind() == reflect.Struct:
		return func(c *Offsets, at unsafe.Pointer, depth int) (any, error) { return boxed(c.mapAt(t, at, depth)) }
	case t.Kind() == reflect.Pointer:
		// What it leads to may be of a type that contains this one.
		var once sync.Once
		var inner load
		return func(c *Offsets, at unsafe.Pointer, depth int) (any, error) {
			to := *(*unsafe.Pointer)(at)
			switch {
			case to == nil:
				return nil, nil
			case depth > maxDepth:
				return nil, ErrCycle
			}
			once.Do(func() { inner = loads(t.Elem()) })
			return inner(c, to, depth+1)
		}
	case t.Kind() == reflect.Slice:
		var once sync.Once
		var inner load
		return func(c *Offsets, at unsafe.Pointer, depth int) (any, error) {
			slice := (*header)(at)
			if slice.data == nil {
				return nil, nil
			}
			once.Do(func() { inner = loads(t.Elem()) })
			return c.elements(inner, slice.data, slice.len, t.Elem().Size(), depth)
		}
	case t.Kind() == reflect.Array:
		inner := loads(t.Elem())
		return func(c *Offsets, at unsafe.Pointer, depth int) (any, error) {
			return c.elements(inner, at, t.Len(), t.Elem().Size(), depth)
		}
	case t == reflect.TypeOf(map[string]string(nil)):
		return func(_ *Offsets, at unsafe.Pointer, _ int) (any, error) {
			from := *(*map[string]string)(at)
			if from == nil {
				return nil, nil
			}
			out := make(map[string]any, len(from))
			for key, value := range from {
				out[key] = value
			}
			return out, nil
		}
	}
	by := conversion(t)
	return func(c *Offsets, at unsafe.Pointer, depth int) (any, error) {
		return by(&c.other, reflect.NewAt(t, at).Elem(), depth)
	}
}

func (c *Offsets) elements(inner load, at unsafe.Pointer, length int, size uintptr, depth int) (any, error) {
	if depth > maxDepth {
		return nil, ErrCycle
	}
	out := make([]any, length)
	for i := range out {
		var err error
		if out[i], err = inner(c, unsafe.Add(at, uintptr(i)*size), depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}
