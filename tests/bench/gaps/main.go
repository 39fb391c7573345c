// Command gaps is a service that knows how long it was held up.
//
// It parks goroutines, each at the end of a chain of calls, and has one goroutine that wakes each millisecond and
// keeps the longest time between two wakes. What stops the world, or takes the processors, shows there, as it would
// in every request of a real service. target_cost.rs beside it asks for profiles meanwhile.
//
// It prints one line on standard output when it serves (ready http://127.0.0.1:41923) and exits when its standard
// input is closed. Standard library only.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"sync"
	"time"
)

// minDepth is what every chain of calls has: run, park, and one of left and right.
const minDepth = 3

// place is where goroutines park.
type place struct {
	parked sync.WaitGroup
	// lock, if there is one, is what all of them wait for. Without it each waits for a channel of its own that nobody
	// else knows, as leaked goroutines do.
	lock *sync.Mutex
}

// park waits for ever.
//
//go:noinline
func (p *place) park() {
	if p.lock != nil {
		p.parked.Done()
		p.lock.Lock()
	}
	c := make(chan struct{})
	p.parked.Done()
	<-c
}

// left and right call each other in as many ways as there are bits: a distinct stack for every number.
//
//go:noinline
func (p *place) left(depth int, bits uint) {
	switch {
	case depth == 0:
		p.park()
	case bits&1 == 0:
		p.left(depth-1, bits>>1)
	default:
		p.right(depth-1, bits>>1)
	}
}

//go:noinline
func (p *place) right(depth int, bits uint) {
	switch {
	case depth == 0:
		p.park()
	case bits&1 == 0:
		p.left(depth-1, bits>>1)
	default:
		p.right(depth-1, bits>>1)
	}
}

// run is the outermost function of a parked goroutine.
//
//go:noinline
func (p *place) run(depth int, bits uint) {
	p.left(depth-minDepth, bits)
}

// fill parks n goroutines, each with so many frames, over so many distinct stacks.
func (p *place) fill(n, depth, stacks int) {
	p.parked.Add(n)
	for i := range n {
		go p.run(depth, uint(i%stacks))
	}
	p.parked.Wait()
}

// watch keeps the longest time between two wakes of a goroutine that sleeps for a millisecond each time.
type watch struct {
	mu    sync.Mutex
	last  time.Time // the last wake, or the last reset
	worst time.Duration
}

func (w *watch) run() {
	w.read(true)
	for {
		// Not locked to a thread: it is to wait for what a goroutine of the service would wait for.
		time.Sleep(time.Millisecond)
		w.mu.Lock()
		w.note(time.Now())
		w.mu.Unlock()
	}
}

func (w *watch) note(now time.Time) {
	w.worst = max(w.worst, now.Sub(w.last))
	w.last = now
}

// read is the longest gap since the last reset, the one that has not ended included.
func (w *watch) read(reset bool) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	worst := max(w.worst, now.Sub(w.last))
	if reset {
		w.worst, w.last = 0, now
	}
	return worst
}

func (w *watch) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gap", func(out http.ResponseWriter, r *http.Request) {
		// What one case left behind is not to be paid for by the next.
		if r.FormValue("collect") != "" {
			runtime.GC()
		}
		fmt.Fprintf(out, "%.9f\n", w.read(r.FormValue("reset") != "").Seconds())
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	return mux
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("gaps: ")
	goroutines := flag.Int("goroutines", 1000, "how many to park")
	depth := flag.Int("depth", 10, "calls of this program in each stack")
	stacks := flag.Int("stacks", 20, "distinct stacks among them")
	lock := flag.Bool("lock", false, "all wait for one mutex, not each for a channel of its own")
	flag.Parse()
	if *goroutines < 0 || *depth < minDepth || *stacks < 1 {
		log.Fatalf("no negative -goroutines, at least %d for -depth, at least 1 for -stacks", minDepth)
	}
	// Each call but the last can go either way.
	if ways := *depth - minDepth; ways < 31 && *stacks > 1<<ways {
		log.Fatalf("-depth %d gives no more than %d distinct stacks", *depth, 1<<ways)
	}

	var p place
	if *lock {
		p.lock = new(sync.Mutex)
		p.lock.Lock()
	}
	p.fill(*goroutines, *depth, *stacks)
	w := new(watch)
	go w.run()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: w.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
