package main

import (
	"fmt"
	"reflect"
	"sync"
)

// Converter turns structs into maps, by reflection. It has done so for a long time, and its inputs were
// structs. It has two mistakes, and needs both to do harm: a pointer to a struct gets no map to write to, so
// the write panics; and counting such failures was never tried.
type Converter struct {
	mu     sync.Mutex
	failed map[string]int // conversions that failed, by type; nobody ever made it
}

// StructToMap is called for every event.
func (c *Converter) StructToMap(v any) (fields map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%T: %v", v, p)
			c.mu.Lock() // here they all wait
			c.failed[fmt.Sprintf("%T", v)]++
			c.mu.Unlock()
		}
	}()
	from := reflect.ValueOf(v)
	if from.Kind() == reflect.Struct {
		fields = make(map[string]any, from.NumField())
	}
	from, into := reflect.Indirect(from), reflect.ValueOf(fields)
	for i := 0; i < from.NumField(); i++ {
		into.SetMapIndex(reflect.ValueOf(from.Type().Field(i).Name), from.Field(i))
	}
	return fields, nil
}

// release lets go of the lock that died with its holder, so that those who wait can go on, one by one. The
// caller knows that there is such a lock.
func (c *Converter) release() {
	c.failed = map[string]int{}
	c.mu.Unlock()
}

// Repaired is the conversion as it should have been.
type Repaired struct {
	mu     sync.Mutex
	failed map[string]int
}

// StructToMap follows pointers first, says what it cannot do, and holds the lock no longer than it lives.
func (r *Repaired) StructToMap(v any) (map[string]any, error) {
	from := reflect.Indirect(reflect.ValueOf(v))
	if from.Kind() != reflect.Struct {
		r.count(fmt.Sprintf("%T", v))
		return nil, fmt.Errorf("%T is no struct", v)
	}
	fields := make(map[string]any, from.NumField())
	for i := 0; i < from.NumField(); i++ {
		fields[from.Type().Field(i).Name] = from.Field(i).Interface()
	}
	return fields, nil
}

func (r *Repaired) count(kind string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[kind]++
}
