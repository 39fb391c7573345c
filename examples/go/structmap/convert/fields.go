package convert

import (
	"reflect"
	"strings"
)

// Field is one that becomes a key.
type Field struct {
	Name string
	// Index is the way to it from the struct, through embedded ones.
	Index []int
	Type  reflect.Type

	tagged bool
}

// Fields are those of a struct in the order in which they are declared, embedded ones where they are embedded. Of several
// with one name the least deep counts, among equally deep ones the only one whose tag says so, or else none.
func Fields(t reflect.Type) []Field {
	type level struct {
		of    reflect.Type
		index []int
	}
	var found []Field
	seen := map[reflect.Type]bool{}
	for this := []level{{of: t}}; len(this) > 0; {
		var next []level
		// A struct that is embedded twice at one depth hides itself: its fields are here twice.
		var here []Field
		for _, l := range this {
			if seen[l.of] {
				continue
			}
			for i := 0; i < l.of.NumField(); i++ {
				f := l.of.Field(i)
				index := append(append([]int(nil), l.index...), i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if f.Tag.Get("json") == "-" {
					continue
				}
				inner := f.Type
				if inner.Kind() == reflect.Pointer {
					inner = inner.Elem()
				}
				if f.Anonymous && name == "" && inner.Kind() == reflect.Struct && inner != timeType {
					next = append(next, level{of: inner, index: index})
					continue
				}
				if !f.IsExported() {
					continue
				}
				field := Field{Name: name, Index: index, Type: f.Type, tagged: name != ""}
				if name == "" {
					field.Name = f.Name
				}
				here = append(here, field)
			}
		}
		for _, l := range this {
			seen[l.of] = true
		}
		found = append(found, visible(here, found)...)
		this = next
	}
	return inOrder(found)
}

// visible are the fields of one depth that no other of it, or of less deep ones, hides.
func visible(here, above []Field) []Field {
	taken := map[string]bool{}
	for _, f := range above {
		taken[f.Name] = true
	}
	var kept []Field
	for i, f := range here {
		alone := true
		for j, other := range here {
			if j != i && other.Name == f.Name && (other.tagged || !f.tagged) {
				alone = false
			}
		}
		if alone && !taken[f.Name] {
			kept = append(kept, f)
		}
	}
	return kept
}

// inOrder sorts by place in the source.
func inOrder(fields []Field) []Field {
	less := func(a, b []int) bool {
		for i := range a {
			if i == len(b) || a[i] != b[i] {
				return i < len(b) && a[i] < b[i]
			}
		}
		return len(a) < len(b)
	}
	for i := range fields {
		for j := i; j > 0 && less(fields[j].Index, fields[j-1].Index); j-- {
			fields[j], fields[j-1] = fields[j-1], fields[j]
		}
	}
	return fields
}
