// Command service is a small HTTP service, some of whose goroutines never move.
//
// A request to /work takes a lock, asks a worker over a channel, and answers with a list in JSON: what services do. -leak
// goroutines send to channels that nobody reads; -moving goroutines wake every two milliseconds. /cpu tells the
// seconds of processor time that the process has used.
//
// It prints one line on standard output when it serves (ready http://127.0.0.1:41923) and exits when its standard
// input is closed. Standard library only.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"sync"
	"syscall"
	"time"
)

// order is a line of the list.
type order struct {
	Number int
	Name   string
	Price  float64
}

// shop is what requests work with.
type shop struct {
	mu     sync.Mutex
	seen   int
	orders chan chan []order
}

// serve answers with the list.
func (s *shop) serve(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
	answer := make(chan []order)
	s.orders <- answer
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(<-answer); err != nil {
		log.Print(err)
	}
}

// work makes lists, for ever.
func (s *shop) work() {
	for answer := range s.orders {
		list := make([]order, 10)
		for i := range list {
			list[i] = order{Number: i, Name: fmt.Sprintf("order %d", i), Price: 1.5 * float64(i)}
		}
		answer <- list
	}
}

// leak sends what nobody receives.
func leak(started *sync.WaitGroup) {
	c := make(chan int)
	started.Done()
	c <- 1
}

// move wakes and waits again, for ever.
func move() {
	for range time.Tick(2 * time.Millisecond) {
	}
}

// cpu is the processor time used so far.
func cpu(w http.ResponseWriter, _ *http.Request) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%f\n", (time.Duration(used.Utime.Nano()) + time.Duration(used.Stime.Nano())).Seconds())
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("service: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	leaked := flag.Int("leak", 0, "how many goroutines `N` send to nobody")
	moving := flag.Int("moving", 0, "how many goroutines `N` wake every two milliseconds")
	flag.Parse()

	s := &shop{orders: make(chan chan []order)}
	for i := 0; i < 4; i++ {
		go s.work()
	}
	var started sync.WaitGroup
	started.Add(*leaked)
	for i := 0; i < *leaked; i++ {
		go leak(&started)
	}
	started.Wait()
	for i := 0; i < *moving; i++ {
		go move()
	}
	http.HandleFunc("/work", s.serve)
	http.HandleFunc("/cpu", cpu)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			log.Print(err)
		}
		os.Exit(0)
	}()
	fmt.Printf("ready http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
