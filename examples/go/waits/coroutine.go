//go:build go1.23

package main

import "iter"

// waitCoroutine yields once and is never asked again.
//
//go:noinline
func waitCoroutine(yield func(int) bool) {
	for i := 0; yield(i); i++ {
	}
}

//go:noinline
func startCoroutine(n int) []Entry {
	for i := 0; i < n; i++ {
		next, stop := iter.Pull(waitCoroutine)
		next()
		hold(next, stop)
	}
	return []Entry{group(n, "coroutine", "main.waitCoroutine", "iter.Pull[...]")}
}
