package main

import (
	"encoding/json"
	"net/http"
	"runtime"
)

// Entry is one group of goroutines the program knows it has.
type Entry struct {
	// WaitReason is the reason in the words of the newest Go, whichever version built this program.
	WaitReason string `json:"wait_reason"`
	// BlockingFrame is the first function outside the runtime and the packages one waits through.
	BlockingFrame string `json:"blocking_frame"`
	// AppFrame is the first function of this program.
	AppFrame string `json:"app_frame"`
	// CreatedBy is the function with the go statement; empty for the main goroutine.
	CreatedBy string `json:"created_by"`
	// Count is how many goroutines.
	Count int `json:"goroutines"`
	// Leaked is how many of them a goroutineleak profile must name: nothing can ever wake them.
	Leaked int `json:"leaked"`

	spellings []string // what other versions of Go call the reason
	main      bool     // the main goroutine
}

// Truth is what GET /truth answers.
type Truth struct {
	Go string `json:"go"`
	// Goroutines are all goroutines there are, but for those of connections being served.
	Goroutines []Entry `json:"goroutines"`
	// Total is their number.
	Total int `json:"total"`
	// Labels counts the goroutines that carry a pprof label: key, value, number.
	Labels map[string]map[string]int `json:"labels"`
}

func newTruth() *Truth {
	t := &Truth{Go: runtime.Version(), Labels: map[string]map[string]int{}}
	t.add(Entry{
		WaitReason: "syscall", BlockingFrame: "main.untilStdinCloses", AppFrame: "main.untilStdinCloses",
		Count: 1, main: true,
	})
	return t
}

func (t *Truth) add(entries ...Entry) {
	for _, e := range entries {
		t.Goroutines = append(t.Goroutines, e)
		t.Total += e.Count
		if e.BlockingFrame == "main.waitLabelled" {
			t.Labels["tenant"] = tenants(e.Count)
		}
	}
}

func (t *Truth) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t) // a client that went away is no concern of ours
}
