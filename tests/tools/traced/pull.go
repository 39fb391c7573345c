//go:build go1.23

package main

import "iter"

func init() { works = append(works, pull) }

// pull switches between coroutines.
func pull(end chan struct{}) {
	for !over(end) {
		next, stop := iter.Pull(func(yield func(int) bool) {
			for at := 0; at < 20 && yield(at); at++ {
			}
		})
		for {
			if _, ok := next(); !ok {
				break
			}
		}
		stop()
		rest()
	}
}
