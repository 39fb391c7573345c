package main

import (
	"errors"
	"runtime"
	"sync"
)

// handle is something that must be closed, and is closed by the garbage collector when nobody did.
type handle struct {
	mu       sync.Mutex
	position int
}

// finalizing is closed when the first handle is being closed.
var (
	finalizing = make(chan struct{})
	once       sync.Once
)

// Blocked finalizer: a request gives up while it has a handle locked, and drops it. The garbage collector closes what was
// dropped, and the finalizer waits for the lock. One goroutine runs all finalizers of a process, one after the other:
// it is stuck, and nothing that relies on a finalizer is freed from then on. Only memory and descriptors grow.
//
// The cure is a defer of Unlock. A finalizer should not wait for anything at all.
func blockedFinalizer(fixed bool) {
	read(fixed)
	runtime.GC()
	<-finalizing
}

func read(fixed bool) {
	h := new(handle)
	runtime.SetFinalizer(h, (*handle).close)
	if err := h.seek(-1, fixed); err != nil {
		return
	}
	h.close()
}

func (h *handle) seek(position int, fixed bool) error {
	h.mu.Lock()
	if fixed {
		defer h.mu.Unlock()
	}
	if position < 0 {
		return errors.New("before the beginning")
	}
	h.position = position
	if !fixed {
		h.mu.Unlock()
	}
	return nil
}

func (h *handle) close() {
	once.Do(func() { close(finalizing) })
	h.mu.Lock() // LEAK
	defer h.mu.Unlock()
	h.position = 0
}
