// Command leaky is a small report service with one of the commonest goroutine leaks there are.
//
// A request for a report starts a worker and waits for its answer, but not for long. When the worker is
// slower than that, the request is answered with an error, and the worker sends its report on a channel that
// nobody reads any more: it blocks for ever. POST /fix gives that channel room for one report, the usual
// cure, so that no more workers get stuck.
//
// It prints one line on standard output when it serves (ready http://127.0.0.1:41923) and exits when its
// standard input is closed. Standard library only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a request waits for its report.
	patience = 20 * time.Millisecond
	// renderTime is how long a slow report takes: always longer than patience.
	renderTime = 40 * time.Millisecond
	// maxLeak bounds one POST /leak.
	maxLeak = 100_000
)

// errSlow is what a request gets whose report took too long.
var errSlow = errors.New("the report takes too long")

// Service renders reports.
type Service struct {
	fixed      atomic.Bool
	stuck      atomic.Int64 // workers at a send nobody will receive
	releasable bool

	mu        sync.Mutex
	abandoned []chan string // only if releasable: otherwise nothing may know these channels
}

// report is the request's side. A slow report is given up after patience.
func (s *Service) report(ctx context.Context, slow bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	room := 0
	if s.fixed.Load() {
		room = 1
	}
	result := make(chan string, room)
	go s.render(result, slow)
	select {
	case r := <-result:
		return r, nil
	case <-ctx.Done():
		if s.releasable && room == 0 {
			s.abandon(result)
		}
		return "", errSlow
	}
}

// abandon remembers the channel of a worker that will get stuck, or frees it when the leak is fixed by now.
func (s *Service) abandon(result chan string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed.Load() {
		go func() { <-result }()
		return
	}
	s.abandoned = append(s.abandoned, result)
}

// render is the worker's side.
func (s *Service) render(result chan<- string, slow bool) {
	if slow {
		time.Sleep(renderTime)
		if cap(result) == 0 {
			s.stuck.Add(1)
			defer s.stuck.Add(-1)
		}
	}
	result <- "all is well"
}

// leak makes n slow requests and returns when their workers have reached the send.
func (s *Service) leak(ctx context.Context, n int) {
	want := s.stuck.Load() + int64(n)
	for i := 0; i < n; i++ {
		go func() {
			// On a busy machine patience may end so late that a slow report still comes in time; then the next.
			for ctx.Err() == nil {
				if _, err := s.report(ctx, true); err != nil {
					return
				}
			}
		}()
	}
	for !s.fixed.Load() && s.stuck.Load() < want && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// fix ends the leak. Workers that are stuck stay so until a restart, as in life, unless the service kept
// their channels.
func (s *Service) fix() {
	s.mu.Lock()
	s.fixed.Store(true)
	abandoned := s.abandoned
	s.abandoned = nil
	s.mu.Unlock()
	for _, result := range abandoned {
		<-result
	}
}

// traffic makes rate slow requests a second, for ever.
func (s *Service) traffic(rate float64) {
	const step = 10 * time.Millisecond
	due := 0.0
	for range time.Tick(step) {
		for due += rate * step.Seconds(); due >= 1; due-- {
			go s.report(context.Background(), true)
		}
	}
}

// truth is what GET /truth answers: the leak as the service itself counts it.
type truth struct {
	Go            string `json:"go"`
	Fixed         bool   `json:"fixed"`
	WaitReason    string `json:"wait_reason"`
	BlockingFrame string `json:"blocking_frame"`
	AppFrame      string `json:"app_frame"`
	CreatedBy     string `json:"created_by"`
	Goroutines    int64  `json:"goroutines"`
}

func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/report", func(w http.ResponseWriter, r *http.Request) {
		report, err := s.report(r.Context(), r.FormValue("slow") != "")
		if err != nil {
			http.Error(w, err.Error(), http.StatusGatewayTimeout)
			return
		}
		fmt.Fprintln(w, report)
	})
	mux.HandleFunc("/leak", post(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err != nil || n < 1 || n > maxLeak {
			http.Error(w, fmt.Sprintf("n must be a number from 1 to %d", maxLeak), http.StatusBadRequest)
			return
		}
		s.leak(r.Context(), n)
	}))
	mux.HandleFunc("/fix", post(func(http.ResponseWriter, *http.Request) { s.fix() }))
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(truth{ // a client that went away is no concern of ours
			Go: runtime.Version(), Fixed: s.fixed.Load(), WaitReason: "chan send",
			BlockingFrame: "main.(*Service).render", AppFrame: "main.(*Service).render",
			CreatedBy: "main.(*Service).report", Goroutines: s.stuck.Load(),
		})
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func post(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "only POST", http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("leaky: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	rate := flag.Float64("rate", 0, "slow requests, so leaked goroutines, a `second`")
	releasable := flag.Bool("releasable", false,
		"remember the channels of stuck workers, so that POST /fix frees these too; "+
			"a goroutineleak profile then finds no leak, since somebody could still receive")
	flag.Parse()

	s := &Service{releasable: *releasable}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	if *rate > 0 {
		go s.traffic(*rate)
	}
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
