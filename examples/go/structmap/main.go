// Command structmap is a small service that turns structs into maps all the time, in one of the five ways of package convert,
// and is told how much of it there is to do. It is for looking at with the exporter while it works.
//
//	structmap -converter plan -rate 20000
//
// Each request is a goroutine that converts -batch orders and ends. Requests come when they come, finished or not: a way
// that takes longer than there is time for has more and more of them at once, up to -most.
//
// It prints one line when it serves (ready http://127.0.0.1:41923), /debug/pprof among it, and exits when its standard
// input is closed. GET /truth tells what it has done.
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
	"sync/atomic"
	"time"

	"example.com/goroutines/structmap/convert"
)

// service converts orders.
type service struct {
	converter convert.Converter
	batch     int
	most      int64

	running, converted, failed, refused atomic.Int64
}

// request converts a batch.
func (s *service) request(order *convert.Order) {
	defer s.running.Add(-1)
	for i := 0; i < s.batch; i++ {
		if _, err := s.converter.Map(order); err != nil {
			s.failed.Add(1)
			return
		}
	}
	s.converted.Add(int64(s.batch))
}

// traffic starts requests for rate conversions a second, for ever.
func (s *service) traffic(rate float64) {
	order := convert.Example()
	begun, started := time.Now(), 0.0
	for range time.Tick(10 * time.Millisecond) {
		// What was missed is made up for: nobody asks for less because the service is busy.
		for due := time.Since(begun).Seconds() * rate / float64(s.batch); started < due; started++ {
			if s.running.Load() >= s.most {
				s.refused.Add(1)
				continue
			}
			s.running.Add(1)
			go s.request(order)
		}
	}
}

// truth is what GET /truth answers.
type truth struct {
	Go        string `json:"go"`
	Converter string `json:"converter"`
	Running   int64  `json:"running"`
	Converted int64  `json:"converted"`
	Failed    int64  `json:"failed"`
	Refused   int64  `json:"refused"`
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/truth", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(truth{ // a client that went away is no concern of ours
			Go: runtime.Version(), Converter: s.converter.Name(), Running: s.running.Load(),
			Converted: s.converted.Load(), Failed: s.failed.Load(), Refused: s.refused.Load(),
		})
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	return mux
}

// named is the converter of that name.
func named(name string) (convert.Converter, error) {
	var names []string
	for _, converter := range convert.All() {
		if converter.Name() == name {
			return converter, nil
		}
		names = append(names, converter.Name())
	}
	return nil, fmt.Errorf("no converter %q: %s", name, strings.Join(names, ", "))
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("structmap: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	name := flag.String("converter", "plan", "the `way` to convert: json, decoder, plan, offsets or generated")
	rate := flag.Float64("rate", 0, "conversions a `second` to be done")
	batch := flag.Int("batch", 50, "conversions of one request")
	most := flag.Int64("most", 2000, "requests at once; more are refused")
	flag.Parse()
	converter, err := named(*name)
	if err != nil {
		log.Fatal(err)
	}
	if *batch < 1 {
		log.Fatal("batch must be at least 1")
	}
	s := &service{converter: converter, batch: *batch, most: *most}
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
