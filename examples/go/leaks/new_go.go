//go:build go1.23

package main

// ofNewGo needs coroutines.
var ofNewGo = []pattern{
	{name: "unfinished_iterator", request: unfinishedIterator, leaks: 1},
}
