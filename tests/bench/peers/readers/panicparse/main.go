// Reads a debug=2 dump with github.com/maruel/panicparse and groups it. With a third argument "scan" it does not use that
// library's own way to bring alike goroutines together, which compares each with each.
package main

import (
	"bytes"
	"io"
	"os"
	"readers/measure"

	"github.com/maruel/panicparse/v2/stack"
)

func main() {
	scan := len(os.Args) > 3 && os.Args[3] == "scan"
	measure.Main(func(body []byte) measure.Counts {
		// Neither names for arguments nor looks at source files.
		snapshot, _, err := stack.ScanSnapshot(bytes.NewReader(body), io.Discard, &stack.Opts{})
		if err != nil && err != io.EOF {
			panic(err)
		}
		if snapshot == nil {
			return measure.Counts{}
		}
		groups := map[measure.Key]int64{}
		if scan {
			for _, goroutine := range snapshot.Goroutines {
				groups[group(&goroutine.Signature)]++
			}
		} else {
			for _, bucket := range snapshot.Aggregate(stack.AnyPointer).Buckets {
				groups[group(&bucket.Signature)] += int64(len(bucket.IDs))
			}
		}
		var total int64
		for _, count := range groups {
			total += count
		}
		return measure.Counts{Goroutines: total, Groups: len(groups)}
	})
}

func group(signature *stack.Signature) measure.Key {
	key := measure.Key{State: signature.State}
	if calls := signature.CreatedBy.Calls; len(calls) > 0 {
		key.Creator = calls[0].Func.Complete
	}
	for _, call := range signature.Stack.Calls {
		if key.Blocking == "" && !measure.IsPlumbing(call.Func.Complete) {
			key.Blocking = call.Func.Complete
		}
		if measure.IsApp(call.RemoteSrcPath) {
			key.App = call.Func.Complete
			break
		}
	}
	return key
}
