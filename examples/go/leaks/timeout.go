package main

import (
	"context"
	"time"
)

// Timeout leak: a request waits for an answer, but not for long. The answer comes later than that, and whoever brings it
// sends it to nobody.
//
// The cure is room for one answer, or a select with ctx.Done() around the send as well.
func timeout(fixed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	room := 0
	if fixed {
		room = 1
	}
	// In life it takes a slow day. Here the answer never comes before the request is over.
	over := make(chan struct{})
	defer close(over)
	answer := make(chan string, room)
	go askWarehouse(over, answer)
	select {
	case <-answer:
	case <-ctx.Done():
	}
}

func askWarehouse(slow <-chan struct{}, answer chan<- string) {
	<-slow
	answer <- "12 in stock" // LEAK
}
