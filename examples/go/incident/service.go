package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync/atomic"
)

// Order is an event. Orders are recorded by value.
type Order struct {
	ID     int64
	Amount int64
}

// Refund is one, too. Refunds are recorded by pointer.
type Refund struct {
	ID     int64
	Reason string
}

// Service takes events, answers at once, and records them in the background.
type Service struct {
	converter Converter
	repaired  Repaired
	fixed     atomic.Bool

	mailboxes int
	mail      chan string

	taken     atomic.Int64 // events
	recording atomic.Int64 // goroutines that record one
	recorded  atomic.Int64 // events written to the journal
	refused   atomic.Int64 // events that could not be converted, and were counted
	lost      atomic.Int64 // events whose goroutine panicked
}

// newService has so many mailboxes that wait for news: what a service does besides.
func newService(mailboxes int) *Service {
	s := &Service{
		repaired:  Repaired{failed: map[string]int{}},
		mailboxes: mailboxes, mail: make(chan string),
	}
	for i := 0; i < mailboxes; i++ {
		go s.deliver()
	}
	return s
}

func (s *Service) deliver() {
	for range s.mail {
	}
}

// record is the hot path: one goroutine for each event.
func (s *Service) record(event any) {
	defer s.recording.Add(-1)
	defer func() {
		// One bad event must not take the service down. That is all that is ever heard of it.
		if p := recover(); p != nil {
			log.Printf("an event is lost: %v", p)
			s.lost.Add(1)
		}
	}()
	convert := s.converter.StructToMap
	if s.fixed.Load() {
		convert = s.repaired.StructToMap
	}
	fields, err := convert(event)
	if err == nil {
		err = json.NewEncoder(io.Discard).Encode(fields) // stands for the journal
	}
	if err != nil {
		s.refused.Add(1)
		return
	}
	s.recorded.Add(1)
}

// fix deploys the repaired conversion without a restart, and frees those that are stuck. A restart would end
// both, which is how it mostly goes.
func (s *Service) fix() {
	if s.fixed.Swap(true) {
		return
	}
	// Whoever has the lock of the broken conversion dies with it, so it is held for ever as soon as one event
	// is lost. Until then it is free, or about to be lost.
	for s.lost.Load() == 0 && !s.converter.mu.TryLock() {
		runtime.Gosched()
	}
	s.converter.release()
}

// entry is one kind of goroutine, as the service believes to have it.
type entry struct {
	WaitReason    string `json:"wait_reason"`
	BlockingFrame string `json:"blocking_frame"`
	AppFrame      string `json:"app_frame"`
	CreatedBy     string `json:"created_by"`
	Under         string `json:"under,omitempty"` // a function of the runtime on its stack
	Goroutines    int64  `json:"goroutines"`
}

// truth is what GET /truth answers. Goroutines of connections being served come on top, and those of the
// program itself: the one that accepts connections and the main one. What records an event and is not stuck is
// done within microseconds, so all that record are taken for stuck.
type truth struct {
	Go         string  `json:"go"`
	Fixed      bool    `json:"fixed"`
	Goroutines []entry `json:"goroutines"`
	Taken      int64   `json:"taken"`
	Recorded   int64   `json:"recorded"`
	Refused    int64   `json:"refused"`
	Lost       int64   `json:"lost"`
}

func (s *Service) truth() truth {
	return truth{
		Go: runtime.Version(), Fixed: s.fixed.Load(),
		Goroutines: []entry{
			{
				WaitReason: "sync.Mutex.Lock", BlockingFrame: "main.(*Converter).StructToMap.func1",
				AppFrame: "main.(*Converter).StructToMap.func1", CreatedBy: "main.(*Service).take",
				Under: "runtime.mapassign_faststr", Goroutines: s.recording.Load(),
			},
			{
				WaitReason: "chan receive", BlockingFrame: "main.(*Service).deliver",
				AppFrame: "main.(*Service).deliver", CreatedBy: "main.newService",
				Goroutines: int64(s.mailboxes),
			},
		},
		Taken: s.taken.Load(), Recorded: s.recorded.Load(), Refused: s.refused.Load(), Lost: s.lost.Load(),
	}
}

// take answers before the event is recorded, so no client ever sees that anything is wrong.
func (s *Service) take(w http.ResponseWriter, r *http.Request) {
	var event any
	switch kind := r.FormValue("kind"); kind {
	case "order":
		event = Order{ID: s.taken.Add(1), Amount: 100}
	case "refund":
		event = &Refund{ID: s.taken.Add(1), Reason: "too late"}
	default:
		http.Error(w, fmt.Sprintf("no kind of event %q", kind), http.StatusBadRequest)
		return
	}
	s.recording.Add(1)
	go s.record(event)
	w.WriteHeader(http.StatusAccepted)
}

func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", post(s.take))
	mux.HandleFunc("/fix", post(func(http.ResponseWriter, *http.Request) { s.fix() }))
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.truth()) // a client that went away is no concern of ours
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
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
