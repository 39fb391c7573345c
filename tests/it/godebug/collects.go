// A program that collects garbage until it is told to stop, and knows how often it did.
//
// With -noise goroutines write to standard error meanwhile, in pieces without a line end, too, so that lines of the runtime
// are damaged; the first and the last cycle are always whole. Its standard output ends with the number of its cycles.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

var sink [64][]byte

func main() {
	cycles := flag.Uint("cycles", 100, "cycles after which it ends")
	noise := flag.Bool("noise", false, "write to standard error meanwhile")
	flag.Parse()

	// The first line of the scheduler comes now, and would run into that of the first cycle.
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	runtime.GC()
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				sink[(i*16+n)%64] = make([]byte, 32<<10)
				if *noise && n%64 == 0 {
					fmt.Fprint(os.Stderr, "level=info msg=tick")
					fmt.Fprint(os.Stderr, "; and more\n")
				}
			}
		}(i)
	}
	for done := uint32(0); done < uint32(*cycles) || time.Since(start) < time.Second; time.Sleep(5 * time.Millisecond) {
		var stats debug.GCStats
		debug.ReadGCStats(&stats)
		done = uint32(stats.NumGC)
	}
	close(stop)
	group.Wait()
	if *noise {
		// What a damaged line was cut from must not run into the last cycle's.
		fmt.Fprintln(os.Stderr)
	}
	debug.SetGCPercent(-1)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Printf("cycles %d forced %d pause_ns %d\n", stats.NumGC, stats.NumForcedGC, stats.PauseTotalNs)
}
