// Traced does a little of everything that an execution trace tells of, and traces itself.
//
//	traced -for 300ms -out FILE [-ping]
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/trace"
	"sync"
	"time"
)

// works are what goroutines do until the end. pull.go adds one.
var works = []func(end chan struct{}){
	ping, contend, share, spawn, choose, signal, allocate, call, yield, pipe,
}

func main() {
	length := flag.Duration("for", 300*time.Millisecond, "how long to trace")
	out := flag.String("out", "", "the file to write")
	only := flag.Bool("ping", false, "nothing but two goroutines that wake each other")
	flag.Parse()
	if *only {
		works = []func(chan struct{}){flatOut}
	}
	for range make([]struct{}, 20) {
		go park()
	}
	end := make(chan struct{})
	var all sync.WaitGroup
	for _, work := range works {
		work := work
		all.Add(1)
		go func() {
			defer all.Done()
			work(end)
		}()
	}
	// So that the trace begins in the middle of everything.
	time.Sleep(20 * time.Millisecond)
	file, err := os.Create(*out)
	check(err)
	check(trace.Start(file))
	time.Sleep(*length)
	trace.Stop()
	check(file.Close())
	close(end)
	all.Wait()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "traced:", err)
		os.Exit(1)
	}
}

func over(end chan struct{}) bool {
	select {
	case <-end:
		return true
	default:
		return false
	}
}

func rest() { time.Sleep(2 * time.Millisecond) }

var never chan int

func park() { <-never }

var sink int

func busy(rounds int) {
	for at := 0; at < rounds; at++ {
		sink += at
	}
}

func flatOut(end chan struct{}) {
	there, back := make(chan int), make(chan int)
	go answer(there, back)
	for !over(end) {
		there <- 1
		<-back
	}
	close(there)
}

// ping wakes another goroutine and waits to be woken.
func ping(end chan struct{}) {
	there, back := make(chan int), make(chan int)
	go answer(there, back)
	for !over(end) {
		for at := 0; at < 50; at++ {
			there <- at
			<-back
		}
		rest()
	}
	close(there)
}

func answer(there, back chan int) {
	for at := range there {
		back <- at
	}
}

// contend waits for a lock that others hold.
func contend(end chan struct{}) {
	var lock sync.Mutex
	var all sync.WaitGroup
	for range make([]struct{}, 3) {
		all.Add(1)
		go func() {
			defer all.Done()
			for !over(end) {
				lock.Lock()
				time.Sleep(100 * time.Microsecond)
				lock.Unlock()
				busy(1000)
			}
		}()
	}
	all.Wait()
}

// share waits for readers, and readers for it.
func share(end chan struct{}) {
	var lock sync.RWMutex
	var all sync.WaitGroup
	for range make([]struct{}, 2) {
		all.Add(1)
		go func() {
			defer all.Done()
			for !over(end) {
				lock.RLock()
				time.Sleep(200 * time.Microsecond)
				lock.RUnlock()
			}
		}()
	}
	for !over(end) {
		lock.Lock()
		time.Sleep(200 * time.Microsecond)
		lock.Unlock()
		rest()
	}
	all.Wait()
}

// spawn makes goroutines that end soon.
func spawn(end chan struct{}) {
	for !over(end) {
		var some sync.WaitGroup
		for range make([]struct{}, 4) {
			some.Add(1)
			go func() {
				defer some.Done()
				busy(20000)
			}()
		}
		some.Wait()
		rest()
	}
}

// choose waits for one of several.
func choose(end chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
			busy(1000)
		}
	}
}

// signal waits for a condition.
func signal(end chan struct{}) {
	var lock sync.Mutex
	var turn int
	changed := sync.NewCond(&lock)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lock.Lock()
		defer lock.Unlock()
		for turn >= 0 {
			changed.Wait()
		}
	}()
	for !over(end) {
		lock.Lock()
		turn++
		changed.Signal()
		lock.Unlock()
		rest()
	}
	lock.Lock()
	turn = -1
	changed.Signal()
	lock.Unlock()
	<-done
}

// allocate keeps the garbage collector going.
func allocate(end chan struct{}) {
	kept := make([][]*[64]int, 64)
	for at := 0; !over(end); at++ {
		some := make([]*[64]int, 200)
		for i := range some {
			some[i] = new([64]int)
		}
		kept[at%len(kept)] = some
		if at%20 == 0 {
			rest()
		}
	}
	runtime.KeepAlive(kept)
}

// call makes system calls.
func call(end chan struct{}) {
	for !over(end) {
		_, err := os.ReadFile("/proc/self/stat")
		check(err)
		rest()
	}
}

// yield lets others run.
func yield(end chan struct{}) {
	for !over(end) {
		for at := 0; at < 20; at++ {
			runtime.Gosched()
		}
		rest()
	}
}

// pipe waits for bytes.
func pipe(end chan struct{}) {
	r, w, err := os.Pipe()
	check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 16)
		for {
			if _, err := r.Read(buffer); err != nil {
				return
			}
		}
	}()
	for !over(end) {
		_, err := w.Write([]byte("x"))
		check(err)
		rest()
	}
	check(w.Close())
	<-done
}
