// Command leaks is a collection of the classic goroutine leaks, one a file, each with its cure.
//
// Without -fixed, each request of POST /work leaks; with it, the same request does not. In the file of a pattern one
// line ends in the comment LEAK: there its goroutines stay, or, where that is in no code of this program, there the
// mistake is made. README.md has what goroutine_exporter says of each.
//
// It prints one line on standard output when it serves (ready http://127.0.0.1:41923) and exits when its standard input
// is closed. Standard library only.
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
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxWork bounds one POST /work.
const maxWork = 10_000

// pattern is one way to leak.
type pattern struct {
	name string // its file's, without .go
	// request is what the service does for one request.
	request func(fixed bool)
	// leaks is how many goroutines each request leaves behind, once all it started that can end has ended.
	leaks int
	// once says that only the first request does.
	once bool
}

// patterns is every pattern this Go can build.
var patterns = append([]pattern{
	{name: "premature_return", request: prematureReturn, leaks: 1},
	{name: "timeout", request: timeout, leaks: 1},
	{name: "n_cast", request: nCast, leaks: len(mirrors) - 1},
	{name: "double_send", request: doubleSend, leaks: 1},
	{name: "unclosed_range", request: unclosedRange, leaks: 1},
	{name: "missing_cancel", request: missingCancel, leaks: 1},
	{name: "forgotten_ticker", request: forgottenTicker, leaks: 1},
	{name: "forgotten_timer", request: forgottenTimer, leaks: 0},
	{name: "forgotten_body", request: forgottenBody, leaks: 3},
	{name: "lock_order", request: lockOrder, leaks: 2},
	{name: "wait_group", request: waitGroup, leaks: 1},
	{name: "cond", request: cond, leaks: 1},
	{name: "nil_channel", request: nilChannel, leaks: 1},
	{name: "blocked_finalizer", request: blockedFinalizer, leaks: 1, once: true},
}, ofNewGo...)

func named(name string) (pattern, bool) {
	for _, p := range patterns {
		if p.name == name {
			return p, true
		}
	}
	return pattern{}, false
}

func names() string {
	var all []string
	for _, p := range patterns {
		all = append(all, p.name)
	}
	return strings.Join(all, ", ")
}

// service does the requests of one pattern.
type service struct {
	pattern pattern
	fixed   bool

	mu       sync.Mutex
	requests int
}

// work does n requests, one after the other.
func (s *service) work(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := 0; i < n; i++ {
		s.pattern.request(s.fixed)
	}
	s.requests += n
}

// truth is what GET /truth answers.
type truth struct {
	Go       string `json:"go"`
	Pattern  string `json:"pattern"`
	Fixed    bool   `json:"fixed"`
	Requests int    `json:"requests"`
	// Leaked is how many goroutines all requests so far leave behind.
	Leaked int `json:"leaked"`
}

func (s *service) truth() truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	leaky := s.requests
	if s.fixed {
		leaky = 0
	} else if s.pattern.once && leaky > 1 {
		leaky = 1
	}
	return truth{
		Go: runtime.Version(), Pattern: s.pattern.name, Fixed: s.fixed, Requests: s.requests,
		Leaked: leaky * s.pattern.leaks,
	}
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/work", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		switch {
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "only POST", http.StatusMethodNotAllowed)
		case err != nil || n < 1 || n > maxWork:
			http.Error(w, fmt.Sprintf("n must be a number from 1 to %d", maxWork), http.StatusBadRequest)
		default:
			s.work(n)
		}
	})
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.truth()) // a client that went away is no concern of ours
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	return mux
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("leaks: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	name := flag.String("pattern", "", "the `NAME` of one of "+names())
	fixed := flag.Bool("fixed", false, "do it right")
	flag.Parse()
	p, ok := named(*name)
	if !ok {
		log.Fatalf("-pattern must be one of %s", names())
	}

	s := &service{pattern: p, fixed: *fixed}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
