package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"testing"
	"time"
)

type table = map[string]any

// example is what comes of [Example].
func example() table {
	return table{
		"id": int64(1<<62 + 1), "status": 3, "paid": true, "total": 129.75,
		"customer": table{"name": "Ada", "mails": []any{"ada@example.com", "a@example.org"}, "rates": table{"vat": float32(0.5), "none": nil}},
		"items": []any{
			table{"sku": "apple", "count": uint16(3), "price": int32(25)},
			table{"sku": "pear", "count": uint16(1), "price": int32(40)},
			table{"sku": "quince", "count": uint16(12), "price": int32(95)},
		},
		"tags": table{"channel": "web", "region": "eu"}, "note": "ring twice",
		"placed":   time.Date(2026, 11, 28, 12, 30, 0, 0, time.UTC),
		"extra":    table{"sku": "gift", "count": uint16(1), "price": int32(0)},
		"codes":    []any{uint8(7), uint8(9)},
		"Untagged": uint64(1<<64 - 1), "by": "till", "country": "SI",
	}
}

// bare is an order with nothing in it; without an Origin there is no country.
func bare() table {
	return table{
		"id": int64(0), "status": 0, "paid": false, "total": 0.0, "customer": nil, "items": nil, "tags": nil, "note": nil,
		"placed": time.Time{}, "extra": nil, "codes": []any{uint8(0), uint8(0)}, "Untagged": uint64(0), "by": "",
	}
}

type (
	hidden struct {
		Shown string `json:"shown"`
		inner int
	}
	Left   struct{ Same, Other string }
	Right  struct{ Same string }
	Tagged struct {
		Renamed string `json:"Other"`
	}
	// Embedding has a field of two embedded structs, which is nobody's, and one whose tag decides.
	Embedding struct {
		hidden
		*Left
		Right
		Tagged
		Named Right `json:"named"`
	}
	self *self
)

func node(depth int) *Node {
	n := &Node{Name: "end"}
	for ; depth > 1; depth-- {
		n = &Node{Next: n}
	}
	return n
}

// Each input with what comes of it, the same from all five.
func TestResults(t *testing.T) {
	order, none := Example(), (*Order)(nil)
	pointer := &order
	var empty any
	ring := &Node{Name: "ring"}
	ring.Next = ring
	through := &Node{}
	through.Any = map[string]any{"back": []any{&through}}
	list := &Node{}
	list.Nodes = []*Node{nil, list}
	named := &Node{}
	named.Named = map[string]*Node{"again": named}
	loop := map[string]any{}
	loop["loop"] = loop
	var own self
	own = self(&own)
	leaf := table{"name": "a", "next": nil, "any": nil, "nodes": nil, "named": nil}
	for _, c := range []struct {
		name string
		in   any
		out  table
		err  error
	}{
		{"nil", nil, nil, nil},
		{"nil pointer", none, nil, nil},
		{"pointer to nil pointer", &none, nil, nil},
		{"pointer to nil interface", &empty, nil, nil},
		{"nil map", map[string]int(nil), nil, nil},
		{"struct", *order, example(), nil},
		{"pointer", order, example(), nil},
		{"pointer to pointer", &order, example(), nil},
		{"pointer to pointer to pointer", &pointer, example(), nil},
		{"pointer to interface", func() any { var x any = order; return &x }(), example(), nil},
		{"empty struct", struct{}{}, table{}, nil},
		{"bare", Order{}, bare(), nil},
		{"unexported", struct {
			shown  string
			Public int
		}{"x", 1}, table{"Public": 1}, nil},
		{"unexported of another struct", &hidden{"yes", 1}, table{"shown": "yes"}, nil},
		{"embedded", &Embedding{hidden{"a", 1}, &Left{"b", "c"}, Right{"d"}, Tagged{"e"}, Right{"f"}},
			table{"shown": "a", "Other": "e", "named": table{"Same": "f"}}, nil},
		{"embedded that is not there", &struct {
			*Left
			*Tagged
			Last int
		}{Last: 2}, table{"Last": 2}, nil},
		{"map", map[string]any{"a": 1, "b": &Item{"x", 1, 2}, "c": nil}, table{"a": 1, "b": table{"sku": "x", "count": uint16(1), "price": int32(2)}, "c": nil}, nil},
		{"map of a named type", map[Name]*[]bool{"a": {true, false}, "b": nil}, table{"a": []any{true, false}, "b": nil}, nil},
		{"pointer to map", &map[string]Status{"a": 4}, table{"a": 4}, nil},
		{"deep", node(300), nil, nil},
		{"leaf", &Node{Name: "a"}, leaf, nil},
		{"cyclic", ring, nil, ErrCycle},
		{"cyclic by interfaces", through, nil, ErrCycle},
		{"cyclic by slices", list, nil, ErrCycle},
		{"cyclic by maps", named, nil, ErrCycle},
		{"cyclic map", loop, nil, ErrCycle},
		{"pointer to itself", own, nil, ErrCycle},
		{"number", 7, nil, ErrType},
		{"text", "text", nil, ErrType},
		{"slice", []Item{{}}, nil, ErrType},
		{"time", time.Time{}, nil, ErrType},
		{"function", func() {}, nil, ErrType},
		{"map with numbers", map[int]string{1: "a"}, nil, ErrType},
		{"field that is a channel", struct{ C chan int }{}, nil, ErrType},
		{"element that is a function", struct{ F []any }{[]any{func() {}}}, nil, ErrType},
	} {
		for _, converter := range All() {
			t.Run(c.name+"/"+converter.Name(), func(t *testing.T) {
				// Once more is the same: by then the type is known.
				for i := 0; i < 2; i++ {
					out, err := converter.Map(c.in)
					if !errors.Is(err, c.err) || err != nil && out != nil {
						t.Fatalf("%v, %v", out, err)
					}
					if c.name == "deep" {
						for depth := 1; out["next"] != nil; depth++ {
							out = out["next"].(table)
						}
						if out["name"] != "end" {
							t.Fatal(out)
						}
						continue
					}
					expected := any(c.out)
					if converter.Name() == "json" {
						expected = asJSON(expected)
					}
					if !reflect.DeepEqual(any(out), expected) {
						t.Fatalf("\n%#v\ninstead of\n%#v", out, expected)
					}
				}
			})
		}
	}
}

// Name is a text with a name.
type Name string

// asJSON is what is left of a value after JSON, as the documentation of [JSON] tells it.
func asJSON(x any) any {
	v := reflect.ValueOf(x)
	switch x := x.(type) {
	case table:
		if x == nil {
			return x
		}
		out := make(table, len(x))
		for key, value := range x {
			out[key] = asJSON(value)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			out[i] = asJSON(value)
		}
		return out
	case time.Time:
		return x.Format(time.RFC3339Nano)
	}
	switch {
	case !v.IsValid():
		return nil
	case v.CanInt():
		return v.Int()
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return int64(v.Uint())
	case v.CanUint():
		return v.Uint()
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()):
		return int64(v.Float())
	case v.CanFloat():
		return v.Float()
	}
	return x
}

// A result is nobody else's: it may be changed, and its input too.
func TestResultsShareNothing(t *testing.T) {
	for _, converter := range All() {
		t.Run(converter.Name(), func(t *testing.T) {
			in := Example()
			out, err := converter.Map(in)
			if err != nil {
				t.Fatal(err)
			}
			before := fmt.Sprint(out)
			in.Items[0].SKU, in.Tags["channel"], in.Customer.Mails[0] = "x", "x", "x"
			*in.Customer.Rates["vat"], *in.Note, in.Codes[0] = 9, "x", 1
			if after := fmt.Sprint(out); after != before {
				t.Fatalf("%s\nbecame\n%s", before, after)
			}
			again := Example()
			first, _ := converter.Map(again)
			first["tags"].(table)["channel"], first["items"].([]any)[0] = "x", "x"
			if !reflect.DeepEqual(again, Example()) {
				t.Fatal("the input changed")
			}
		})
	}
}

// Many at once, of types that nobody has seen before: for the race detector.
func TestManyAtOnce(t *testing.T) {
	for _, converter := range All() {
		t.Run(converter.Name(), func(t *testing.T) {
			expected, err := converter.Map(Example())
			if err != nil {
				t.Fatal(err)
			}
			inputs := []any{Example(), *Example(), &Node{Any: Example()}, &Embedding{}, map[string]*Item{"a": {}}}
			var all sync.WaitGroup
			for i := 0; i < 8; i++ {
				all.Add(1)
				go func() {
					defer all.Done()
					for j := 0; j < 50; j++ {
						for _, in := range inputs {
							if _, err := converter.Map(in); err != nil {
								t.Error(err)
							}
						}
						out, err := converter.Map(inputs[0])
						if err != nil || !reflect.DeepEqual(out, expected) {
							t.Errorf("%v, %v", out, err)
						}
					}
				}()
			}
			all.Wait()
		})
	}
}

// What only JSON refuses, or changes, is as its documentation has it.
func TestWhatJSONCannotCarry(t *testing.T) {
	for _, converter := range All() {
		out, err := converter.Map(struct{ F float64 }{math.Inf(1)})
		if isJSON := converter.Name() == "json"; isJSON != errors.Is(err, ErrType) || !isJSON && out["F"] != math.Inf(1) {
			t.Errorf("%s: %v, %v", converter.Name(), out, err)
		}
		out, err = converter.Map(struct{ time.Time }{})
		if isJSON := converter.Name() == "json"; isJSON != errors.Is(err, ErrType) || !isJSON && len(out) != 1 {
			t.Errorf("%s: %v, %v", converter.Name(), out, err)
		}
		out, err = converter.Map(struct{ B []byte }{[]byte("hi")})
		expected := any([]any{uint8('h'), uint8('i')})
		if converter.Name() == "json" {
			expected = "aGk="
		}
		if err != nil || !reflect.DeepEqual(out["B"], expected) {
			t.Errorf("%s: %v, %v", converter.Name(), out, err)
		}
	}
}

// Whatever is in an order, all five agree, and none panics.
func FuzzOrders(f *testing.F) {
	f.Add(`{"id": 9007199254740993, "items": [{"sku": "a"}], "extra": {"deep": [1, null, "x"]}, "country": "SI"}`)
	f.Add(`{"note": "", "tags": {"": "\u0000"}, "codes": [255, 1], "placed": "2026-11-28T12:30:00.000000001+01:00"}`)
	f.Add(`{"customer": {"rates": {"a": 1e-7, "b": null}}, "total": 1e300, "Untagged": 18446744073709551615}`)
	f.Add(`{"extra": [[[[{"a": [{}]}]]]], "mails": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		var order Order
		if json.Unmarshal([]byte(text), &order) != nil {
			return
		}
		inputs := []any{&order, order, &Node{Name: text, Any: order.Extra, Nodes: []*Node{{Name: text}}}}
		for _, in := range inputs {
			expected, err := new(Plan).Map(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, converter := range All() {
				out, err := converter.Map(in)
				if err != nil {
					t.Fatalf("%s: %v", converter.Name(), err)
				}
				if converter.Name() == "json" {
					// Text was valid when it came; whatever else differs is written down.
					if len(out) != len(expected) {
						t.Fatalf("%v\ninstead of\n%v", out, expected)
					}
					continue
				}
				if !reflect.DeepEqual(out, expected) {
					t.Fatalf("%s: %v\ninstead of\n%v", converter.Name(), out, expected)
				}
			}
		}
	})
}

// Results keep the compiler from leaving out what is measured.
var result table

func BenchmarkMap(b *testing.B) {
	in := Example()
	for _, converter := range All() {
		b.Run(converter.Name(), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				var err error
				if result, err = converter.Map(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
