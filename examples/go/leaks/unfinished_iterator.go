//go:build go1.23

package main

import "iter"

// Unfinished iterator: iter.Pull turns an iterator into a function that is called for one value after the other. Whoever
// stops before the end and does not say so leaves it standing at its yield.
//
// The cure is a defer of stop right after Pull.
func unfinishedIterator(fixed bool) {
	next, stop := iter.Pull(rows)
	if fixed {
		defer stop()
	}
	next()
}

func rows(yield func(int) bool) {
	for row := 1; row <= 1000; row++ {
		if !yield(row) { // LEAK
			return
		}
	}
}
