package main

import "sync"

// WaitGroup misuse: a worker that gives up early does not say that it is done, so whoever waits for all of them waits for
// ever. Here that is the goroutine that would close the channel of results.
//
// The cure is to defer Done in the first line of the worker (since Go 1.25, to start it with Go).
func waitGroup(fixed bool) {
	var group sync.WaitGroup
	sizes := make(chan int, 2)
	for _, page := range []string{"home", ""} {
		group.Add(1)
		go measure(page, sizes, &group, fixed)
	}
	go closeAfter(&group, sizes)
	<-sizes
}

func measure(page string, sizes chan<- int, group *sync.WaitGroup, fixed bool) {
	if fixed {
		defer group.Done()
	}
	if page == "" {
		return
	}
	sizes <- len(page)
	if !fixed {
		group.Done()
	}
}

func closeAfter(group *sync.WaitGroup, sizes chan<- int) {
	group.Wait() // LEAK
	close(sizes)
}
