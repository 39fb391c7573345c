package main

import "time"

// Forgotten ticker: a request starts a goroutine that does something every few seconds, and nothing ever ends it. It is
// not stuck: it wakes with each tick, and waits again.
//
// The cure is a channel, or a context, that ends the loop with the request, and a Stop for the ticker. Stop alone would
// only make it wait for ever: it closes no channel.
func forgottenTicker(fixed bool) {
	done := make(chan struct{})
	if fixed {
		defer close(done)
		go refreshUntil(done)
	} else {
		go refresh()
	}
}

func refresh() {
	ticker := time.NewTicker(10 * time.Second)
	for range ticker.C { // LEAK
		readQuota()
	}
}

func refreshUntil(done <-chan struct{}) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			readQuota()
		case <-done:
			return
		}
	}
}

func readQuota() {}
