// Reads a debug=2 dump with github.com/DataDog/gostackparse and groups it.
package main

import (
	"bytes"
	"readers/measure"

	"github.com/DataDog/gostackparse"
)

func main() {
	measure.Main(func(body []byte) measure.Counts {
		goroutines, errs := gostackparse.Parse(bytes.NewReader(body))
		if len(errs) > 0 {
			panic(errs[0])
		}
		groups := map[measure.Key]int64{}
		for _, goroutine := range goroutines {
			groups[group(goroutine)]++
		}
		return measure.Counts{Goroutines: int64(len(goroutines)), Groups: len(groups)}
	})
}

func group(goroutine *gostackparse.Goroutine) measure.Key {
	key := measure.Key{State: goroutine.State}
	if goroutine.CreatedBy != nil {
		key.Creator = goroutine.CreatedBy.Func
	}
	for _, frame := range goroutine.Stack {
		if key.Blocking == "" && !measure.IsPlumbing(frame.Func) {
			key.Blocking = frame.Func
		}
		if measure.IsApp(frame.File) {
			key.App = frame.Func
			break
		}
	}
	return key
}
