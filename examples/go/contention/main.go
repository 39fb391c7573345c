// Command contention waits a known number of times at each way of waiting for others that Go's block and
// mutex profiles record, each in a function of its own, and then serves these profiles.
//
// It is the counterpart of the exporter in tests: GET /truth says how often and how long at least something
// waited where, without looking at a profile. The program itself does nothing more once it is ready, so only
// the connections that ask for a profile add to it.
//
// It prints one line on standard output when it is done (ready http://127.0.0.1:41923) and exits when its
// standard input is closed. Standard library only.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	// settleTime bounds how long goroutines may take to reach their waits.
	settleTime = 30 * time.Second
	// hold is how long they are kept waiting once all are there.
	hold = 20 * time.Millisecond
)

// kind is a way of waiting for others.
type kind struct {
	function string            // the one that waits
	contend  func(waiters int) // makes so many wait there, and returns when none does
}

var kinds = []kind{
	{"main.lockMutex", contendMutex},
	{"main.receive", contendReceive},
	{"main.send", contendSend},
	{"main.choose", contendSelect},
	{"main.waitCond", contendCond},
	{"main.waitGroup", contendGroup},
}

//go:noinline
func lockMutex(mu *sync.Mutex, passed *int) {
	mu.Lock()
	*passed++
	mu.Unlock()
}

//go:noinline
func holdMutex(mu *sync.Mutex, meanwhile func()) {
	mu.Lock()
	meanwhile()
	mu.Unlock()
}

func contendMutex(waiters int) {
	var mu sync.Mutex
	var end func()
	passed := 0
	holdMutex(&mu, func() { end = start(waiters, "main.lockMutex", func() { lockMutex(&mu, &passed) }) })
	end()
	if passed != waiters {
		log.Fatalf("%d of %d had the lock", passed, waiters)
	}
}

//go:noinline
func receive(ch <-chan int) { <-ch }

func contendReceive(waiters int) {
	ch := make(chan int)
	end := start(waiters, "main.receive", func() { receive(ch) })
	for i := 0; i < waiters; i++ {
		ch <- i
	}
	end()
}

//go:noinline
func send(ch chan<- int) { ch <- 1 }

func contendSend(waiters int) {
	ch := make(chan int)
	end := start(waiters, "main.send", func() { send(ch) })
	for i := 0; i < waiters; i++ {
		<-ch
	}
	end()
}

//go:noinline
func choose(a, b <-chan int) {
	select {
	case <-a:
	case <-b:
	}
}

func contendSelect(waiters int) {
	never, soon := make(chan int), make(chan int)
	end := start(waiters, "main.choose", func() { choose(never, soon) })
	close(soon)
	end()
}

//go:noinline
func waitCond(c *sync.Cond, ready *bool) {
	c.L.Lock()
	for !*ready {
		c.Wait()
	}
	c.L.Unlock()
}

func contendCond(waiters int) {
	c, ready := sync.NewCond(new(sync.Mutex)), false
	end := start(waiters, "main.waitCond", func() { waitCond(c, &ready) })
	c.L.Lock()
	ready = true
	c.L.Unlock()
	c.Broadcast()
	end()
}

//go:noinline
func waitGroup(wg *sync.WaitGroup) { wg.Wait() }

func contendGroup(waiters int) {
	var wg sync.WaitGroup
	wg.Add(1)
	end := start(waiters, "main.waitGroup", func() { waitGroup(&wg) })
	wg.Done()
	end()
}

// start runs so many goroutines and returns when all have waited in function for a while. What it returns
// waits for their end.
func start(waiters int, function string, wait func()) (end func()) {
	var all sync.WaitGroup
	all.Add(waiters)
	for i := 0; i < waiters; i++ {
		go func() {
			defer all.Done()
			wait()
		}()
	}
	deadline := time.Now().Add(settleTime)
	for parked(function) != waiters {
		if time.Now().After(deadline) {
			log.Fatalf("not settled after %v: %d of %d in %s", settleTime, parked(function), waiters, function)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(hold)
	return all.Wait
}

// parked counts the goroutines that neither run nor want to, with function on their stack.
func parked(function string) int {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	n := 0
	for _, block := range strings.Split(string(b), "\n\n") {
		header, frames, _ := strings.Cut(block, "\n")
		active := strings.Contains(header, "[running") || strings.Contains(header, "[runnable")
		if !active && strings.Contains("\n"+frames, "\n"+function+"(") {
			n++
		}
	}
	return n
}

// place is where something waited, how often at least, and how long at least.
type place struct {
	Profile       string `json:"profile"`
	BlockingFrame string `json:"blocking_frame"`
	AppFrame      string `json:"app_frame"`
	Events        int    `json:"events"`
	Nanoseconds   int64  `json:"nanoseconds"`
}

// truth is what GET /truth answers.
type truth struct {
	Go string `json:"go"`
	// AtLeast are the places this program waited at on purpose.
	AtLeast []place `json:"at_least"`
}

func newTruth(waiters int) truth {
	t := truth{Go: runtime.Version()}
	add := func(profile, function string, events int, each time.Duration) {
		t.AtLeast = append(t.AtLeast, place{profile, function, function, events, int64(events) * int64(each)})
	}
	for _, k := range kinds {
		// The runtime counts in ticks, whose length it only estimates.
		add("block", k.function, waiters, hold/2)
	}
	// The mutex profile blames who unlocks: first the holder, then each waiter but the last.
	add("mutex", "main.holdMutex", 1, 0)
	add("mutex", "main.lockMutex", waiters-1, 0)
	return t
}

func handler(t truth) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(t) // a client that went away is no concern of ours
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	return mux
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("contention: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	waiters := flag.Int("waiters", 20, "how many goroutines `N` wait in each way, from 2 to 1000")
	flag.Parse()
	if *waiters < 2 || *waiters > 1000 {
		log.Fatal("-waiters must be a number from 2 to 1000")
	}

	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	for _, k := range kinds {
		k.contend(*waiters)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: handler(newTruth(*waiters)), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
