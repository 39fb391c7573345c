package main

import "sync"

type box struct {
	mu     sync.Mutex
	filled *sync.Cond
	letter string
}

// Cond without signal: somebody waits for a change, and who makes it tells nobody.
//
// The cure is a Signal, or a Broadcast where several may wait, after each change.
func cond(fixed bool) {
	b := new(box)
	b.filled = sync.NewCond(&b.mu)
	waits := make(chan struct{})
	go b.take(waits)
	<-waits
	// Nobody can have the lock before the other waits.
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letter = "hello"
	if fixed {
		b.filled.Signal()
	}
}

func (b *box) take(waits chan<- struct{}) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(waits)
	for b.letter == "" {
		b.filled.Wait() // LEAK
	}
	return b.letter
}
