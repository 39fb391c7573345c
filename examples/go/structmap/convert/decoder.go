package convert

import "reflect"

// Decoder decodes one value into another, by what the target is, and looks at types and tags anew each time, in the style of
// mapstructure.
type Decoder struct{}

func (Decoder) Name() string { return "decoder" }

func (d Decoder) Map(x any) (map[string]any, error) {
	v, err := root(x)
	if err != nil || !v.IsValid() {
		return nil, err
	}
	out := make(map[string]any)
	if err := d.decode(v, reflect.ValueOf(&out).Elem(), 0); err != nil {
		return nil, err
	}
	return out, nil
}

// decode fills out, which is a map[string]any, a []any or an any, with what is in a value.
func (d Decoder) decode(in, out reflect.Value, depth int) error {
	if depth > maxDepth {
		return ErrCycle
	}
	switch out.Kind() {
	case reflect.Map:
		return d.decodeMap(in, out, depth)
	case reflect.Slice:
		for i := 0; i < in.Len(); i++ {
			if err := d.decode(in.Index(i), out.Index(i), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return d.decodeAny(in, out, depth)
}

// decodeMap puts the fields of a struct, or the entries of a map, into a map.
func (d Decoder) decodeMap(in, out reflect.Value, depth int) error {
	set := func(key, value reflect.Value) error {
		element := reflect.New(out.Type().Elem()).Elem()
		if err := d.decode(value, element, depth+1); err != nil {
			return err
		}
		out.SetMapIndex(key, element)
		return nil
	}
	if in.Kind() == reflect.Map {
		for entries := in.MapRange(); entries.Next(); {
			key := reflect.ValueOf(entries.Key().String())
			if err := set(key, entries.Value()); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range Fields(in.Type()) {
		value, err := in.FieldByIndexErr(f.Index)
		if err != nil {
			// It is in an embedded struct that is not there.
			continue
		}
		if err := set(reflect.ValueOf(f.Name), value); err != nil {
			return err
		}
	}
	return nil
}

// decodeAny makes what fits a value and decodes into that.
func (d Decoder) decodeAny(in, out reflect.Value, depth int) error {
	var made reflect.Value
	switch in.Kind() {
	case reflect.Pointer, reflect.Interface:
		if in.IsNil() {
			return nil
		}
		return d.decode(in.Elem(), out, depth+1)
	case reflect.Struct:
		if in.Type() == timeType {
			out.Set(in)
			return nil
		}
		made = reflect.MakeMap(reflect.TypeOf(map[string]any(nil)))
	case reflect.Map:
		if in.Type().Key().Kind() != reflect.String {
			return ErrType
		}
		if in.IsNil() {
			return nil
		}
		made = reflect.MakeMap(reflect.TypeOf(map[string]any(nil)))
	case reflect.Slice, reflect.Array:
		if in.Kind() == reflect.Slice && in.IsNil() {
			return nil
		}
		made = reflect.MakeSlice(reflect.TypeOf([]any(nil)), in.Len(), in.Len())
	default:
		simple, err := plain(in)
		if err != nil {
			return err
		}
		out.Set(reflect.ValueOf(simple))
		return nil
	}
	if err := d.decode(in, made, depth); err != nil {
		return err
	}
	out.Set(made)
	return nil
}
