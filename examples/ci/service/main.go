// Command service is what the leak gate of this folder is shown with: a small service with a leak that its tests do not
// see, and with -fixed without it.
//
// GET /quote asks two suppliers and answers with the first offer. Unless fixed, the slower one sends its offer on a
// channel that nobody reads any more, and blocks for ever: one goroutine a request.
//
// It prints one line when it serves (ready http://127.0.0.1:41923). Standard library only.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // serves /debug/pprof, all that the gate needs
)

// quote returns the first of two offers.
func quote(room int) string {
	offers := make(chan string, room)
	for _, supplier := range []string{"north", "south"} {
		go ask(supplier, offers)
	}
	return <-offers
}

// ask is the supplier's side.
func ask(supplier string, offers chan<- string) {
	offers <- supplier + ": 42"
}

func main() {
	log.SetFlags(0)
	listen := flag.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	fixed := flag.Bool("fixed", false, "give the channel room for every offer, so that nobody waits")
	flag.Parse()
	room := 0
	if *fixed {
		room = 2
	}
	http.HandleFunc("/quote", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, quote(room))
	})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("ready http://%s\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
