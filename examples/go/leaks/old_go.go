//go:build !go1.23

package main

// ofNewGo is empty: there are no iterators before Go 1.23.
var ofNewGo []pattern
