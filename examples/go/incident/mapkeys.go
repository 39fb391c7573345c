package main

import (
	"fmt"
	"reflect"
	"runtime"
)

// mapKeys does a thousand times what such incidents are often put down to, and says what comes of it: each
// call panics at once, and starts no goroutine.
func mapKeys() {
	for _, v := range []any{Refund{}, &Refund{}} {
		before := runtime.NumGoroutine()
		var said any
		for i := 0; i < 1000; i++ {
			said = panicOf(func() { reflect.ValueOf(v).MapKeys() })
		}
		fmt.Printf("%T: %v; goroutines: %d before, %d after\n", v, said, before, runtime.NumGoroutine())
	}
}

// panicOf is what f panics with; nil when it does not.
func panicOf(f func()) (said any) {
	defer func() { said = recover() }()
	f()
	return nil
}
