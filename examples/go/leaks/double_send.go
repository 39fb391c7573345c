package main

import "errors"

// Double send: a worker reports its error and goes on, where it should have returned. It then reports again, and the
// request has received all it wanted.
//
// The cure is the return that was forgotten.
func doubleSend(fixed bool) {
	result := make(chan error)
	go lookUp("", result, fixed)
	<-result
}

func lookUp(name string, result chan<- error, fixed bool) {
	if name == "" {
		result <- errors.New("no name")
		if fixed {
			return
		}
	}
	result <- nil // LEAK
}
