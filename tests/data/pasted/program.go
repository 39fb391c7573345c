// A program that parks five goroutines and writes a dump of itself the way its argument says.
package main

import (
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync"
	"time"
)

func worker(c chan int) { <-c }

func locked(m *sync.Mutex) { m.Lock() }

func dump() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func main() {
	c := make(chan int)
	for i := 0; i < 3; i++ {
		go worker(c)
	}
	var m sync.Mutex
	m.Lock()
	for i := 0; i < 2; i++ {
		go locked(&m)
	}
	time.Sleep(200 * time.Millisecond)
	switch os.Args[1] {
	case "slog-json":
		l := slog.New(slog.NewJSONHandler(os.Stderr, nil))
		l.Info("starting")
		l.Error("watchdog", "stack", dump())
		l.Info("going on")
	case "slog-text":
		l := slog.New(slog.NewTextHandler(os.Stderr, nil))
		l.Info("starting")
		l.Error("watchdog", slog.Group("error", "stack", dump()))
	case "log":
		log.Print("starting")
		log.Printf("watchdog: dump\n%s", dump())
		log.Print("going on")
	case "http-panic":
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
		for i := 0; i < 3; i++ {
			_, err := http.Get(s.URL)
			fmt.Fprintln(os.Stderr, "client:", err)
		}
	case "panic":
		panic("boom")
	case "sigquit":
		fmt.Fprintln(os.Stderr, "ready")
		time.Sleep(time.Minute)
	}
}
