package convert

import (
	"reflect"
	"sync"
)

// Plan looks at each type once, and from then on reads its values by reflection along what it has found.
type Plan struct{ plans sync.Map }

// plan is what is to be done with the fields of a struct.
type plan []planned

type planned struct {
	name    string
	index   []int
	convert func(c *Plan, v reflect.Value, depth int) (any, error)
}

func (*Plan) Name() string { return "plan" }

func (c *Plan) Map(x any) (map[string]any, error) {
	v, err := root(x)
	if err != nil || !v.IsValid() {
		return nil, err
	}
	return c.mapOf(v, 0)
}

// mapOf is the map of a struct or of a map that is not nil.
func (c *Plan) mapOf(v reflect.Value, depth int) (map[string]any, error) {
	if depth > maxDepth {
		return nil, ErrCycle
	}
	if v.Kind() == reflect.Map {
		convert := conversion(v.Type().Elem())
		out := make(map[string]any, v.Len())
		for entries := v.MapRange(); entries.Next(); {
			value, err := convert(c, entries.Value(), depth+1)
			if err != nil {
				return nil, err
			}
			out[entries.Key().String()] = value
		}
		return out, nil
	}
	fields := c.plan(v.Type())
	out := make(map[string]any, len(fields))
	for i := range fields {
		f := &fields[i]
		var at reflect.Value
		if len(f.index) == 1 {
			at = v.Field(f.index[0])
		} else {
			var err error
			if at, err = v.FieldByIndexErr(f.index); err != nil {
				// It is in an embedded struct that is not there.
				continue
			}
		}
		value, err := f.convert(c, at, depth+1)
		if err != nil {
			return nil, err
		}
		out[f.name] = value
	}
	return out, nil
}

func (c *Plan) plan(t reflect.Type) plan {
	if known, ok := c.plans.Load(t); ok {
		return known.(plan)
	}
	var made plan
	for _, f := range Fields(t) {
		made = append(made, planned{name: f.Name, index: f.Index, convert: conversion(f.Type)})
	}
	c.plans.Store(t, made)
	return made
}

// conversion is how values of a type are converted. That of a struct is looked up when it is met: types may contain
// themselves.
func conversion(t reflect.Type) func(*Plan, reflect.Value, int) (any, error) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return func(c *Plan, v reflect.Value, depth int) (any, error) {
			switch {
			case v.IsNil():
				return nil, nil
			case depth > maxDepth:
				return nil, ErrCycle
			}
			v = v.Elem()
			return conversion(v.Type())(c, v, depth+1)
		}
	case reflect.Struct:
		if t == timeType {
			return func(_ *Plan, v reflect.Value, _ int) (any, error) { return v.Interface(), nil }
		}
		return func(c *Plan, v reflect.Value, depth int) (any, error) { return boxed(c.mapOf(v, depth)) }
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			break
		}
		return func(c *Plan, v reflect.Value, depth int) (any, error) {
			if v.IsNil() {
				return nil, nil
			}
			return boxed(c.mapOf(v, depth))
		}
	case reflect.Slice, reflect.Array:
		return func(c *Plan, v reflect.Value, depth int) (any, error) {
			switch {
			case v.Kind() == reflect.Slice && v.IsNil():
				return nil, nil
			case depth > maxDepth:
				return nil, ErrCycle
			}
			convert := conversion(t.Elem())
			out := make([]any, v.Len())
			for i := range out {
				var err error
				if out[i], err = convert(c, v.Index(i), depth+1); err != nil {
					return nil, err
				}
			}
			return out, nil
		}
	}
	return func(_ *Plan, v reflect.Value, _ int) (any, error) { return plain(v) }
}

// boxed is a map as a value; none where there is an error.
func boxed(m map[string]any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}
