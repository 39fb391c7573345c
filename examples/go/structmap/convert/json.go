package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// JSON writes JSON into a buffer of a pool and reads it back.
//
// What JSON cannot carry comes out otherwise than from the others: numbers are int64 where they are whole, uint64 where they
// are too large for that, and float64; a time.Time and bytes are text; text is made valid UTF-8; infinity and NaN are errors.
// MarshalJSON is heeded, that of an embedded time.Time, too, which makes text of the whole struct.
type JSON struct{ buffers sync.Pool }

// A buffer that has grown larger is not worth keeping for small structs.
const maxKept = 64 << 10

func (*JSON) Name() string { return "json" }

func (c *JSON) Map(x any) (map[string]any, error) {
	if v, err := root(x); err != nil || !v.IsValid() {
		return nil, err
	}
	buffer, _ := c.buffers.Get().(*bytes.Buffer)
	if buffer == nil {
		buffer = new(bytes.Buffer)
	}
	defer func() {
		if buffer.Cap() <= maxKept {
			buffer.Reset()
			c.buffers.Put(buffer)
		}
	}()
	if err := json.NewEncoder(buffer).Encode(x); err != nil {
		return nil, translate(err)
	}
	decoder := json.NewDecoder(buffer)
	// A float64 would lose digits of large identifiers.
	decoder.UseNumber()
	var out map[string]any
	if err := decoder.Decode(&out); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrType, err)
	}
	for key, value := range out {
		out[key] = numbers(value)
	}
	return out, nil
}

func translate(err error) error {
	var value *json.UnsupportedValueError
	var kind *json.UnsupportedTypeError
	switch {
	case errors.As(err, &value) && strings.Contains(value.Str, "cycle"):
		return ErrCycle
	case errors.As(err, &value), errors.As(err, &kind):
		return fmt.Errorf("%w: %v", ErrType, err)
	}
	return err
}

// numbers puts numbers in place of their digits.
func numbers(x any) any {
	switch x := x.(type) {
	case json.Number:
		if whole, err := x.Int64(); err == nil {
			return whole
		}
		var large uint64
		if _, err := fmt.Sscanf(x.String(), "%d", &large); err == nil && fmt.Sprint(large) == x.String() {
			return large
		}
		// It was written from a number that a float64 holds.
		f, _ := x.Float64()
		return f
	case map[string]any:
		for key, value := range x {
			x[key] = numbers(value)
		}
	case []any:
		for i, value := range x {
			x[i] = numbers(value)
		}
	}
	return x
}
