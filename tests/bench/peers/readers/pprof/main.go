// Reads a goroutine profile with github.com/google/pprof, protobuf or debug=1, and groups it.
package main

import (
	"bytes"
	"os"
	"readers/measure"

	"github.com/google/pprof/profile"
)

func main() {
	// With `alone` it parses, and does no more.
	alone := len(os.Args) > 3 && os.Args[3] == "alone"
	measure.Main(func(body []byte) measure.Counts {
		read, err := profile.Parse(bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		groups := map[measure.Key]int64{}
		var total int64
		for _, sample := range read.Sample {
			if !alone {
				groups[group(sample)] += sample.Value[0]
			}
			total += sample.Value[0]
		}
		return measure.Counts{Goroutines: total, Groups: len(groups)}
	})
}

func group(sample *profile.Sample) (key measure.Key) {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			function := line.Function
			if key.Blocking == "" && !measure.IsPlumbing(function.Name) {
				key.Blocking = function.Name
			}
			if measure.IsApp(function.Filename) {
				key.App = function.Name
				return key
			}
		}
	}
	return key
}
