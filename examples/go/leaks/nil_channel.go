package main

// Nil channel: the channel is only made when a feature is on, and somebody receives from it in any case. A nil channel
// is never ready.
//
// The cure is to ask before receiving, or to make the channel and close it.
func nilChannel(fixed bool) {
	var updates chan string
	if fixed {
		updates = make(chan string)
		close(updates)
	}
	go follow(updates)
}

func follow(updates <-chan string) (seen int) {
	for range updates { // LEAK
		seen++
	}
	return seen
}
