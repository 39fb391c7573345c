package main

import (
	"context"
	"log"
	"net"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"
)

// kind is one way to wait. start begins n goroutines and says what it has begun.
type kind struct {
	name   string // of its flag
	amount int    // how many without the flag
	does   string
	start  func(n int) []Entry
}

// kinds is every way to wait this program knows. The amounts all differ, so that none can pass for another.
var kinds = []kind{
	{"chan-receive", 13, "receive from a channel", startChanReceive},
	{"chan-send", 11, "send on a channel", startChanSend},
	{"select", 17, "wait in a select", startSelect},
	{"select-no-cases", 7, "wait in select {}", startSelectNoCases},
	{"mutex", 19, "lock a Mutex", startMutex},
	{"rwmutex-rlock", 12, "lock a RWMutex for reading", startRLock},
	{"rwmutex-lock", 14, "lock a RWMutex for writing", startLock},
	{"waitgroup", 16, "wait for a WaitGroup", startWaitGroup},
	{"cond", 18, "wait for a Cond", startCond},
	{"semacquire", 5, "wait for one reader more to be done with a connection", startSemacquire},
	{"sleep", 23, "sleep", startSleep},
	{"io", 31, "read from a connection", startIO},
	{"syscall", 8, "read from a pipe in a system call", startSyscall},
	{"coroutine", 15, "are the far side of an iter.Pull (Go 1.23)", startCoroutine},
	{"busy", 0, "never wait", startBusy},
	{"leaked", 9, "receive from a channel nobody else knows", startLeaked},
	{"labelled", 10, "wait with pprof labels", startLabelled},
}

// held keeps what goroutines wait for reachable: they wait, but they are not leaked.
var (
	heldMutex sync.Mutex
	held      []any
)

func hold(v ...any) {
	heldMutex.Lock()
	defer heldMutex.Unlock()
	held = append(held, v...)
}

// group is an Entry of n goroutines that block in a function of this program.
func group(n int, reason, frame, creator string, spellings ...string) Entry {
	return Entry{
		WaitReason: reason, BlockingFrame: frame, AppFrame: frame, CreatedBy: creator, Count: n,
		spellings: spellings,
	}
}

//go:noinline
func waitChanReceive(c chan int) { <-c }

//go:noinline
func startChanReceive(n int) []Entry {
	c := make(chan int)
	hold(c)
	for i := 0; i < n; i++ {
		go waitChanReceive(c)
	}
	return []Entry{group(n, "chan receive", "main.waitChanReceive", "main.startChanReceive")}
}

//go:noinline
func waitChanSend(c chan int) { c <- 1 }

//go:noinline
func startChanSend(n int) []Entry {
	c := make(chan int)
	hold(c)
	for i := 0; i < n; i++ {
		go waitChanSend(c)
	}
	return []Entry{group(n, "chan send", "main.waitChanSend", "main.startChanSend")}
}

//go:noinline
func waitSelect(a, b chan int) {
	select {
	case <-a:
	case b <- 1:
	}
}

//go:noinline
func startSelect(n int) []Entry {
	a, b := make(chan int), make(chan int)
	hold(a, b)
	for i := 0; i < n; i++ {
		go waitSelect(a, b)
	}
	return []Entry{group(n, "select", "main.waitSelect", "main.startSelect")}
}

//go:noinline
func waitSelectNoCases() { select {} }

//go:noinline
func startSelectNoCases(n int) []Entry {
	for i := 0; i < n; i++ {
		go waitSelectNoCases()
	}
	e := group(n, "select (no cases)", "main.waitSelectNoCases", "main.startSelectNoCases")
	e.Leaked = n
	return []Entry{e}
}

//go:noinline
func waitMutex(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

//go:noinline
func startMutex(n int) []Entry {
	mu := new(sync.Mutex)
	mu.Lock()
	hold(mu)
	for i := 0; i < n; i++ {
		go waitMutex(mu)
	}
	return []Entry{group(n, "sync.Mutex.Lock", "main.waitMutex", "main.startMutex")}
}

//go:noinline
func waitRLock(mu *sync.RWMutex) {
	mu.RLock()
	defer mu.RUnlock()
}

//go:noinline
func startRLock(n int) []Entry {
	mu := new(sync.RWMutex)
	mu.Lock()
	hold(mu)
	for i := 0; i < n; i++ {
		go waitRLock(mu)
	}
	return []Entry{group(n, "sync.RWMutex.RLock", "main.waitRLock", "main.startRLock")}
}

//go:noinline
func waitLock(mu *sync.RWMutex) {
	mu.Lock()
	defer mu.Unlock()
}

// One RWMutex for each goroutine: writers that wait for another writer queue at a plain Mutex inside.
//
//go:noinline
func startLock(n int) []Entry {
	for i := 0; i < n; i++ {
		mu := new(sync.RWMutex)
		mu.RLock()
		hold(mu)
		go waitLock(mu)
	}
	return []Entry{group(n, "sync.RWMutex.Lock", "main.waitLock", "main.startLock")}
}

//go:noinline
func waitWaitGroup(wg *sync.WaitGroup) { wg.Wait() }

//go:noinline
func startWaitGroup(n int) []Entry {
	wg := new(sync.WaitGroup)
	wg.Add(1)
	hold(wg)
	for i := 0; i < n; i++ {
		go waitWaitGroup(wg)
	}
	// The runtime has had a word of its own for it since Go 1.24.
	return []Entry{group(n, "sync.WaitGroup.Wait", "main.waitWaitGroup", "main.startWaitGroup", "semacquire")}
}

//go:noinline
func waitCond(c *sync.Cond) {
	c.L.Lock()
	defer c.L.Unlock()
	c.Wait()
}

//go:noinline
func startCond(n int) []Entry {
	c := sync.NewCond(new(sync.Mutex))
	hold(c)
	for i := 0; i < n; i++ {
		go waitCond(c)
	}
	return []Entry{group(n, "sync.Cond.Wait", "main.waitCond", "main.startCond")}
}

//go:noinline
func waitSleep() { time.Sleep(24 * time.Hour) }

//go:noinline
func startSleep(n int) []Entry {
	for i := 0; i < n; i++ {
		go waitSleep()
	}
	return []Entry{group(n, "sleep", "main.waitSleep", "main.startSleep")}
}

// connection returns one end of a loopback connection; the other stays open and silent.
func connection() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	hold(near, far)
	return near
}

//go:noinline
func waitIO(c net.Conn) {
	var b [1]byte
	_, _ = c.Read(b[:])
}

//go:noinline
func startIO(n int) []Entry {
	for i := 0; i < n; i++ {
		go waitIO(connection())
	}
	return []Entry{group(n, "IO wait", "main.waitIO", "main.startIO")}
}

//go:noinline
func waitSameConnection(c net.Conn) {
	var b [1]byte
	_, _ = c.Read(b[:])
}

// Of n+1 readers of one connection, one waits for the network and n for that one: two groups that differ in
// nothing but the reason.
//
//go:noinline
func startSemacquire(n int) []Entry {
	c := connection()
	for i := 0; i < n+1; i++ {
		go waitSameConnection(c)
	}
	return []Entry{
		group(n, "semacquire", "main.waitSameConnection", "main.startSemacquire"),
		group(1, "IO wait", "main.waitSameConnection", "main.startSemacquire"),
	}
}

//go:noinline
func waitSyscall(fd int) {
	var b [1]byte
	_, _ = syscall.Read(fd, b[:])
}

//go:noinline
func startSyscall(n int) []Entry {
	for i := 0; i < n; i++ {
		var ends [2]int
		if err := syscall.Pipe(ends[:]); err != nil {
			log.Fatal(err)
		}
		go waitSyscall(ends[0])
	}
	return []Entry{group(n, "syscall", "main.waitSyscall", "main.startSyscall")}
}

//go:noinline
func waitBusy() {
	for i := uint64(1); i != 0; i++ {
	}
}

//go:noinline
func startBusy(n int) []Entry {
	for i := 0; i < n; i++ {
		go waitBusy()
	}
	return []Entry{group(n, "running", "main.waitBusy", "main.startBusy", "runnable")}
}

//go:noinline
func waitLeaked(c chan int) { <-c }

//go:noinline
func startLeaked(n int) []Entry {
	for i := 0; i < n; i++ {
		go waitLeaked(make(chan int))
	}
	e := group(n, "chan receive", "main.waitLeaked", "main.startLeaked")
	e.Leaked = n
	return []Entry{e}
}

//go:noinline
func waitLabelled(c chan int) { <-c }

// tenants is how n goroutines are spread over the values of their label.
func tenants(n int) map[string]int {
	return map[string]int{"acme": n - n/3, "globex": n / 3}
}

//go:noinline
func startLabelled(n int) []Entry {
	c := make(chan int)
	hold(c)
	for tenant, share := range tenants(n) {
		// A goroutine takes over the labels of the one that starts it.
		pprof.Do(context.Background(), pprof.Labels("tenant", tenant), func(context.Context) {
			for i := 0; i < share; i++ {
				go waitLabelled(c)
			}
		})
	}
	return []Entry{group(n, "chan receive", "main.waitLabelled", "main.startLabelled.func1")}
}
