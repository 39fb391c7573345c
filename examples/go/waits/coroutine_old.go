//go:build !go1.23

package main

// startCoroutine begins nothing: there are no coroutines before Go 1.23.
func startCoroutine(int) []Entry { return nil }
