package main

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// clients send at the same time, so that one slow answer holds up nothing.
	clients = 8
	// backlog is how many requests may wait for a client: about what a busy second brings.
	backlog = 4096
)

// load is what clients of the service do. All durations and rates are on the story's clock.
type load struct {
	target  string
	orders  float64 // a minute
	refunds float64 // a minute, once they come
	rest    time.Duration
	speed   float64
}

// run sends events for ever. Refunds come after the rest, all at once: a new client is rolled out.
func (l load) run() {
	kinds := make(chan string, backlog)
	for i := 0; i < clients; i++ {
		go l.client(kinds)
	}
	begun := time.Now()
	fmt.Println("sending orders")
	var orders, refunds float64 // due so far
	last, refunding := begun, false
	for now := range time.Tick(10 * time.Millisecond) {
		minutes := now.Sub(last).Minutes() * l.speed
		last = now
		for orders += minutes * l.orders; orders >= 1; orders-- {
			kinds <- "order"
		}
		if now.Sub(begun).Seconds()*l.speed < l.rest.Seconds() {
			continue
		}
		if !refunding {
			refunding = true
			fmt.Println("sending refunds, too")
		}
		for refunds += minutes * l.refunds; refunds >= 1; refunds-- {
			kinds <- "refund"
		}
	}
}

func (l load) client(kinds <-chan string) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	for kind := range kinds {
		answer, err := client.Post(l.target+"/events?kind="+kind, "", nil)
		if err != nil {
			// A service that is gone for a moment loses events, as in life.
			continue
		}
		_, _ = io.Copy(io.Discard, answer.Body) // so that the connection can be used again
		answer.Body.Close()
	}
}
