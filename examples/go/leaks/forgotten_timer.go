package main

import "time"

// Forgotten timer: each request sets a timer for its timeout, and does not stop it when it is done before.
//
// This leaks no goroutine. It keeps the timer, and what that refers to, until it fires; with go 1.23 or later in go.mod
// not even that, as the garbage collector then takes a timer that nobody can reach.
//
// The cure, where it is needed, is a defer of Stop.
func forgottenTimer(fixed bool) {
	answer := make(chan string, 1)
	answer <- "yes"
	timer := time.NewTimer(time.Hour) // LEAK
	if fixed {
		defer timer.Stop()
	}
	select {
	case <-answer:
	case <-timer.C:
	}
}
