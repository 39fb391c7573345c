// Command waits parks a known number of goroutines at each kind of wait Go has, and serves their profiles.
//
// It is the counterpart of the exporter in tests: GET /truth says how many goroutines wait for what and
// where, without looking at a profile, and the exporter has to come to the same numbers. It prints one line
// on standard output once every goroutine has reached its wait:
//
//	ready http://127.0.0.1:41923
//
// and exits when its standard input is closed, so that it never outlives what started it.
// Standard library only; Unix only, since it needs a pipe that the network poller does not know.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// settleTime bounds how long goroutines may take to reach their waits.
const settleTime = 30 * time.Second

func main() {
	log.SetFlags(0)
	log.SetPrefix("waits: ")
	var serving serving
	serving.flags()
	amounts := make([]*int, len(kinds))
	for i, k := range kinds {
		amounts[i] = flag.Int(k.name, k.amount, "how many goroutines `N` "+k.does)
	}
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}

	truth := newTruth()
	for i, k := range kinds {
		if n := *amounts[i]; n > 0 {
			truth.add(k.start(n)...)
		}
	}
	address, clean, err := serving.start(truth)
	if err != nil {
		log.Fatal(err)
	}
	defer clean()
	if err := settle(truth); err != nil {
		log.Print(err)
		clean()
		os.Exit(1)
	}
	fmt.Println("ready", address)
	untilStdinCloses()
}

// untilStdinCloses reads past os.Stdin, whose way of waiting depends on who made the descriptor: a plain
// system call on a descriptor that blocks is the same everywhere, so /truth can name it.
//
//go:noinline
func untilStdinCloses() {
	// A terminal or pipe shared with another program may have been left in the other mode.
	if err := syscall.SetNonblock(0, false); err != nil {
		return
	}
	var b [64]byte
	for {
		n, err := syscall.Read(0, b[:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// settle returns when every goroutine of truth stands where truth says it stands. The main goroutine, which
// is the one that asks, is left out.
func settle(t *Truth) error {
	deadline := time.Now().Add(settleTime)
	for {
		missing := unsettled(t, stacks())
		if missing == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not settled after %v: %s", settleTime, missing)
		}
		time.Sleep(time.Millisecond)
	}
}

// unsettled names the first entry of truth whose goroutines are not all there yet.
func unsettled(t *Truth, dump string) string {
	blocks := strings.Split(dump, "\n\n")
	for _, e := range t.Goroutines {
		if e.main {
			continue
		}
		n := 0
		for _, b := range blocks {
			if e.describes(b) {
				n++
			}
		}
		if n != e.Count {
			return fmt.Sprintf("%d of %d goroutines %s in %s", n, e.Count, e.WaitReason, e.BlockingFrame)
		}
	}
	return ""
}

// describes reports whether the block of one goroutine, as runtime.Stack writes it, is one of the entry's.
func (e Entry) describes(block string) bool {
	header, frames, _ := strings.Cut(block, "\n")
	_, state, ok := strings.Cut(header, "[")
	if !ok || !strings.Contains("\n"+frames, "\n"+e.BlockingFrame+"(") {
		return false
	}
	if end := strings.IndexAny(state, ",]"); end >= 0 {
		state = state[:end]
	}
	for _, s := range e.spellings {
		if state == s {
			return true
		}
	}
	return state == e.WaitReason
}

// stacks is the text of all goroutines.
func stacks() string {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return string(b[:n])
		}
	}
}
