package main

// Unclosed range: a consumer ranges over a channel, and the producer, when it has sent everything, does not close it.
//
// The cure is for the producer to close it: a defer right where the channel is made.
func unclosedRange(fixed bool) {
	orders := make(chan int)
	if fixed {
		defer close(orders)
	}
	go pack(orders)
	for order := 0; order < 3; order++ {
		orders <- order
	}
}

func pack(orders <-chan int) (packed int) {
	for range orders { // LEAK
		packed++
	}
	return packed
}
