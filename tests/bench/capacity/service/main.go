// Command service is an ordinary Go service as far as its goroutine profile goes.
//
// It parks goroutines at a dozen places, one for each way to wait that services know, and leads to each place by several
// chains of calls, so that the profile has five distinct stacks for every place. It counts the profiles that it is asked
// for: whoever measures what asking costs can see that it was really asked. capacity beside it does that.
//
// It prints one line on standard output when it serves (ready http://127.0.0.1:41923) and exits when its standard input
// is closed. Standard library only.
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
	"sync"
	"sync/atomic"
	"time"
)

// Calls between the goroutine's first function and the place where it waits.
const depth = 9

// never is what nobody sends on, closes or unlocks.
type never struct {
	received, sent chan struct{}
	stopped, ticks chan struct{}
	lock           sync.Mutex
	readers        sync.RWMutex
	writers        sync.RWMutex
	done           sync.WaitGroup
	cond           *sync.Cond
	listener       net.Listener
	reader         *io.PipeReader
}

func (n *never) receive() { <-n.received }
func (n *never) send()    { n.sent <- struct{}{} }
func (n *never) consume() { <-n.ticks }
func (n *never) mutex()   { n.lock.Lock() }
func (n *never) read()    { n.readers.RLock() }
func (n *never) write()   { n.writers.Lock() }
func (n *never) wait()    { n.done.Wait() }
func (n *never) sleep()   { time.Sleep(24 * time.Hour) }
func (n *never) accept()  { _, _ = n.listener.Accept() }
func (n *never) drain()   { _, _ = io.Copy(io.Discard, n.reader) }
func (n *never) condition() {
	n.cond.L.Lock()
	n.cond.Wait()
}
func (n *never) choose() {
	select {
	case <-n.stopped:
	case <-n.ticks:
	}
}

// places are where goroutines wait.
func (n *never) places() []func() {
	return []func(){
		n.receive, n.send, n.consume, n.mutex, n.read, n.write,
		n.wait, n.sleep, n.accept, n.drain, n.condition, n.choose,
	}
}

// left and right call each other in as many ways as there are bits: a distinct stack for every number.
//
//go:noinline
func left(depth int, bits uint, place func()) {
	switch {
	case depth == 0:
		place()
	case bits&1 == 0:
		left(depth-1, bits>>1, place)
	default:
		right(depth-1, bits>>1, place)
	}
}

//go:noinline
func right(depth int, bits uint, place func()) {
	switch {
	case depth == 0:
		place()
	case bits&1 == 0:
		left(depth-1, bits>>1, place)
	default:
		right(depth-1, bits>>1, place)
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("service: ")
	goroutines := flag.Int("goroutines", 200, "how many to park")
	stacks := flag.Int("stacks", 60, "distinct stacks among them")
	flag.Parse()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	idle, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	reader, _ := io.Pipe()
	n := &never{
		received: make(chan struct{}), sent: make(chan struct{}),
		stopped: make(chan struct{}), ticks: make(chan struct{}),
		cond: sync.NewCond(new(sync.Mutex)), listener: idle, reader: reader,
	}
	n.lock.Lock()
	n.readers.Lock()
	n.writers.RLock()
	n.done.Add(1)
	places := n.places()
	// Each call can go either way.
	if ways := len(places) << depth; *goroutines < *stacks || *stacks < 1 || *stacks > ways {
		log.Fatalf("-stacks from 1 to -goroutines, and to %d", ways)
	}
	for i := range *goroutines {
		stack := i % *stacks
		go left(depth, uint(stack/len(places)), places[stack%len(places)])
	}

	var served atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", func(out http.ResponseWriter, r *http.Request) {
		served.Add(1)
		pprof.Index(out, r)
	})
	mux.HandleFunc("GET /served", func(out http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(out, served.Load())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
