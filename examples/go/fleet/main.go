// Command fleet is a well-behaved service whose number of goroutines nevertheless moves: the shapes that make
// alerts on a total page people for nothing. Use it to see that yours stay silent.
//
//	-shape rollout   800, then for three minutes 400 more each minute, which stay
//	-shape wave      traffic that comes and goes, 400 to 1,600 within twenty minutes
//	-shape batch     300, and every fifteen minutes 4,000 more for six
//	-shape pool      a connection pool that fills to 3,000 and stays
//	-shape restart   1,500, gone after twenty minutes, back within two
//
// -speed 30 lets thirty minutes of that pass in one. It prints one line on standard output when it serves
// (ready http://127.0.0.1:41923) and exits when its standard input is closed. Standard library only.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"time"
)

// shapes say how many goroutines there are at each minute.
var shapes = map[string]func(minute float64) float64{
	"rollout": func(minute float64) float64 {
		return 800 + 400*math.Min(math.Max(minute-10, 0), 3)
	},
	"wave": func(minute float64) float64 {
		return 1000 + 600*math.Sin(2*math.Pi*minute/20)
	},
	"batch": func(minute float64) float64 {
		into := math.Mod(minute, 15) - 5
		if into < 0 || into > 6 {
			return 300
		}
		// It starts within a minute, and ends within another.
		return 300 + 4000*math.Min(1, math.Min(into, 6-into))
	},
	"pool": func(minute float64) float64 {
		return 200 + 2800*(1-math.Exp(-minute/4))
	},
	"restart": func(minute float64) float64 {
		if minute < 20 {
			return 1500
		}
		return 50 + 1450*math.Min((minute-20)/2, 1)
	},
}

// connection stands for whatever a goroutine of a healthy service waits for.
func connection(end <-chan struct{}) {
	<-end
}

// follow keeps as many connections open as the shape says.
func follow(shape func(minute float64) float64, speed float64) {
	var open []chan struct{}
	begun := time.Now()
	for range time.Tick(10 * time.Millisecond) {
		want := int(shape(time.Since(begun).Minutes() * speed))
		for len(open) < want {
			end := make(chan struct{})
			open = append(open, end)
			go connection(end)
		}
		for len(open) > want {
			last := len(open) - 1
			close(open[last])
			open = open[:last]
		}
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("fleet: ")
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	name := flag.String("shape", "wave", "how the number of goroutines moves: rollout, wave, batch, pool or restart")
	speed := flag.Float64("speed", 1, "`minutes` of the shape that pass in one")
	flag.Parse()

	shape, known := shapes[*name]
	if !known {
		log.Fatalf("no shape %q", *name)
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	go follow(shape, *speed)
	fmt.Printf("ready http://%s\n", l.Addr())
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
