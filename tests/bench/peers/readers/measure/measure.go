// Package measure runs a reader of profiles on a file and says what that cost this process.
package measure

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

// Counts is what a reader found.
type Counts struct {
	Goroutines int64
	Groups     int
}

// Key makes two goroutines one group, as the exporter counts them: why they wait, the first function that is not
// plumbing, the first of the application, and who made them.
type Key struct {
	State, Blocking, App, Creator string
}

// Main reads the file named first as often as the second argument says. The file is in memory before the clock starts,
// and nothing else has run: what the garbage collector does beside counts, what it would still have to do does not.
func Main(read func([]byte) Counts) {
	body, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	repeats, err := strconv.Atoi(os.Args[2])
	if err != nil {
		panic(err)
	}
	debug.FreeOSMemory()
	// The most that was resident is forgotten: proc_pid_clear_refs(5).
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		panic(err)
	}
	before := resident("VmRSS:")
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	allocations := memory.Mallocs
	var counts Counts
	var most int64
	start := cpu()
	for i := range repeats {
		counts = read(body)
		if i == 0 {
			// Of one reading: what is kept for the next one is not what this one needs.
			most = resident("VmHWM:")
		}
	}
	spent := cpu() - start
	runtime.ReadMemStats(&memory)
	allocations = memory.Mallocs - allocations
	fmt.Printf("cpu_ns %d\npeak_bytes %d\ngoroutines %d\ngroups %d\nallocations %d\n",
		spent.Nanoseconds()/int64(repeats), max(0, most-before),
		counts.Goroutines, counts.Groups, allocations/uint64(repeats))
}

// cpu is the time of all threads, the garbage collector's too.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// resident is a figure of /proc/self/status, in bytes.
func resident(key string) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := bytes.Cut(status, []byte(key))
	fields := bytes.Fields(rest)
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		panic(err)
	}
	return kib << 10
}
