package main

import "sync"

type account struct {
	mu      sync.Mutex
	number  int
	balance int
}

// Lock order: one moves money from a to b and locks a first, another from b to a and locks b first. When both have their
// first lock, neither gets its second.
//
// The cure is one order for all: the lower number first.
func lockOrder(fixed bool) {
	a, b := &account{number: 1}, &account{number: 2}
	// In life it takes bad luck. Here each waits until both have their first lock, so that it happens every time.
	var both, all sync.WaitGroup
	both.Add(2)
	all.Add(2)
	meet := func() {
		both.Done()
		both.Wait()
	}
	if fixed {
		meet = func() {}
	}
	for _, pair := range [][2]*account{{a, b}, {b, a}} {
		go func(from, to *account) {
			defer all.Done()
			transfer(from, to, meet, fixed)
		}(pair[0], pair[1])
	}
	if fixed {
		all.Wait()
	}
}

func transfer(from, to *account, between func(), fixed bool) {
	first, second := from, to
	if fixed && second.number < first.number {
		first, second = second, first
	}
	first.mu.Lock()
	defer first.mu.Unlock()
	between()
	second.mu.Lock() // LEAK
	defer second.mu.Unlock()
	from.balance--
	to.balance++
}
