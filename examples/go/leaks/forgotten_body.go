package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Forgotten response body: a request calls another service, looks at the status, and neither reads nor closes the body.
// The client keeps the connection, with the two goroutines that serve it, for a reader who will not come; and the other
// service, which is in this process here, keeps the goroutine of its side.
//
// None of the three runs code of this program, so no profile has the line that forgets.
//
// The cure is a defer of Body.Close right after the error is checked.
func forgottenBody(fixed bool) {
	response, err := http.Get(prices()) // LEAK
	if err != nil {
		log.Fatal(err)
	}
	if fixed {
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			log.Fatal(err)
		}
	}
}

var (
	otherService sync.Once
	otherURL     string
)

// prices returns the URL of the other service, and starts it when it is first asked for.
func prices() string {
	otherService.Do(func() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		otherURL = "http://" + l.Addr().String()
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, "coffee 2.50")
		}))
	})
	return otherURL
}
