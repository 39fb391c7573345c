// Oracle counts in an execution trace what the exporter counts, with Go's own reader.
//
//	oracle [-raw] [-repeat N] FILE
//
// Go's reader makes times rise over all threads, a nanosecond for each tie; with -raw they are what the trace says, for
// which one line of the reader is changed when it is copied (README.md). Each line of the output is a key and numbers,
// with tabs between. With -repeat, the time of all threads for so many readings is written instead of what they counted.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"syscall"
	"time"

	"oracle/trace"
)

// Two events of one thread that are closer are one: a switch of coroutines, which Go's reader tells in three.
const oneEvent = 10

func main() {
	raw := flag.Bool("raw", false, "times as the trace has them")
	repeat := flag.Int("repeat", 0, "measure so many readings")
	flag.Parse()
	trace.RawTimes = *raw
	body, err := os.ReadFile(flag.Arg(0))
	if err != nil {
		fail(err)
	}
	if *repeat > 0 {
		debug.FreeOSMemory()
		start := cpu()
		var events int
		for range *repeat {
			events = read(body).events
		}
		fmt.Printf("cpu_ns\t%d\nevents\t%d\n", (cpu()-start).Nanoseconds()/int64(*repeat), events)
		return
	}
	out := bufio.NewWriter(os.Stdout)
	read(body).print(out)
	if err := out.Flush(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "oracle:", err)
	os.Exit(1)
}

// cpu is the time of all threads, the garbage collector's too.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func read(body []byte) *counts {
	r, err := trace.NewReader(bytes.NewReader(body))
	if err != nil {
		fail(err)
	}
	c := &counts{
		goroutines: map[trace.GoID]*goroutine{},
		keys:       map[string]*key{},
		stacks:     map[stackKey]*key{},
		latency:    map[string]*latency{},
		stops:      map[string]*sum{},
		stopping:   map[trace.GoID]stopping{},
		sweeps:     map[trace.ResourceID]trace.Time{},
		sites:      map[siteKey]*site{},
	}
	for {
		event, err := r.ReadEvent()
		if err == io.EOF {
			break
		}
		if err != nil {
			fail(err)
		}
		c.event(&event)
	}
	c.finish()
	return c
}

// sum is how often something happened, and how long it took.
type sum struct{ count, ns, longest int64 }

func (s *sum) add(ns int64) {
	s.count++
	s.ns += ns
	s.longest = max(s.longest, ns)
}

// spans is intervals by how much of them lies in the window: all, the end, the beginning, none of their ends.
type spans [4]sum

var classes = [4]string{"closed", "left", "right", "both"}

func (s *spans) class(left, right bool) *sum {
	switch {
	case !left && !right:
		return &s[0]
	case !right:
		return &s[1]
	case !left:
		return &s[2]
	}
	return &s[3]
}

// key is a place where goroutines wait, and why.
type key struct {
	kind, reason, frames string
	spans                spans
	stopped, marking     int64
}

type stackKey struct {
	kind, reason string
	stack        trace.Stack
}

type latency struct {
	sum
	all []int64
}

type stopping struct {
	at   trace.Time
	kind string
}

type siteKey struct{ creator, entry trace.Stack }

type site struct{ created, ended int64 }

// goroutine is one, and since when it is in its state.
type goroutine struct {
	state  trace.GoState
	since  trace.Time
	left   bool
	worker bool
	cause  string
	key    *key
	site   *site
	// The thread and time of what woke it.
	wokenOn trace.ThreadID
	wokenAt trace.Time
	assist  *assist
}

type assist struct {
	since trace.Time
	left  bool
}

type counts struct {
	events      int
	begin, last trace.Time
	begun       bool
	goroutines  map[trace.GoID]*goroutine
	keys        map[string]*key
	stacks      map[stackKey]*key
	latency     map[string]*latency
	runnable    spans
	stopped     int64
	marking     int64
	other       int64
	stops       map[string]*sum
	stopping    map[trace.GoID]stopping
	world       stretches
	disturbed   stretches
	mark        spans
	markSince   trace.Time
	markLeft    bool
	markOpen    bool
	assists     spans
	sweep       sum
	sweeps      map[trace.ResourceID]trace.Time
	swept       uint64
	reclaimed   uint64
	workers     sum
	sites       map[siteKey]*site
	endedOlder  int64
	lost        int64
	metrics     [3]uint64
}

func (c *counts) event(e *trace.Event) {
	at := e.Time()
	if e.Kind() == trace.EventSync {
		if !c.begun {
			c.begun, c.begin, c.last = true, at, at
		}
		return
	}
	c.events++
	c.last = max(c.last, at)
	switch e.Kind() {
	case trace.EventStateTransition:
		s := e.StateTransition()
		if s.Resource.Kind == trace.ResourceGoroutine {
			c.transition(e, &s)
		}
	case trace.EventRangeBegin, trace.EventRangeActive, trace.EventRangeEnd:
		c.rng(e)
	case trace.EventLabel:
		l := e.Label()
		if l.Resource.Kind == trace.ResourceGoroutine && strings.HasPrefix(l.Label, "GC (") {
			if g := c.goroutines[l.Resource.Goroutine()]; g != nil {
				g.worker = true
			}
		}
	case trace.EventMetric:
		m := e.Metric()
		switch m.Name {
		case "/memory/classes/heap/objects:bytes":
			c.metrics[0] = m.Value.Uint64()
		case "/gc/heap/goal:bytes":
			c.metrics[1] = m.Value.Uint64()
		case "/sched/gomaxprocs:threads":
			c.metrics[2] = m.Value.Uint64()
		}
	}
}

func (c *counts) transition(e *trace.Event, s *trace.StateTransition) {
	id, at := s.Resource.Goroutine(), e.Time()
	from, to := s.Goroutine()
	g := c.goroutines[id]
	if from == trace.GoUndetermined || from == to {
		c.status(g, id, to, s)
		return
	}
	switch {
	case from == trace.GoNotExist:
		k := siteKey{e.Stack(), s.Stack}
		if to == trace.GoSyscall {
			k = siteKey{}
		}
		made := c.sites[k]
		if made == nil {
			made = &site{}
			c.sites[k] = made
		}
		made.created++
		g = &goroutine{site: made}
		c.goroutines[id] = g
	case g == nil:
		fail(fmt.Errorf("goroutine %d comes from nowhere", id))
	default:
		c.close(g, at, false, e.Thread())
	}
	g.state, g.since, g.left, g.cause = to, at, false, ""
	switch to {
	case trace.GoRunnable:
		switch {
		case from == trace.GoNotExist:
			g.cause = "create"
		case from == trace.GoWaiting:
			g.cause, g.wokenOn, g.wokenAt = "unblock", e.Thread(), at
		case from == trace.GoSyscall:
			g.cause = "syscall"
			c.lost++
		case s.Reason == "preempted":
			g.cause = "preempt"
		default:
			g.cause = "yield"
		}
	case trace.GoWaiting:
		reason := s.Reason
		if from == trace.GoNotExist {
			reason = "created"
		}
		g.key = c.key("block", reason, s.Stack)
	case trace.GoSyscall:
		g.key = c.key("syscall", "", s.Stack)
	case trace.GoNotExist:
		if g.site == nil {
			c.endedOlder++
		} else {
			g.site.ended++
		}
		delete(c.goroutines, id)
	}
}

// status takes what a generation says of a goroutine at its beginning.
func (c *counts) status(g *goroutine, id trace.GoID, to trace.GoState, s *trace.StateTransition) {
	kind := "block"
	if to == trace.GoSyscall {
		kind = "syscall"
	}
	if g == nil {
		g = &goroutine{state: to, since: c.begin, left: true}
		c.goroutines[id] = g
	} else if !g.left || s.Stack == trace.NoStack {
		return
	}
	if to == trace.GoWaiting || to == trace.GoSyscall {
		if g.key == nil || g.key.frames == "" {
			g.key = c.key(kind, "?", s.Stack)
		}
	}
}

func (c *counts) key(kind, reason string, stack trace.Stack) *key {
	at := stackKey{kind, reason, stack}
	if known := c.stacks[at]; known != nil {
		return known
	}
	frames := text(stack)
	name := kind + "\t" + reason + "\t" + frames
	known := c.keys[name]
	if known == nil {
		known = &key{kind: kind, reason: reason, frames: frames}
		c.keys[name] = known
	}
	c.stacks[at] = known
	return known
}

// text is a stack in one word, leaf first.
func text(stack trace.Stack) string {
	var b strings.Builder
	for frame := range stack.Frames() {
		fmt.Fprintf(&b, "%s\x1e%s\x1e%d\x1f", frame.Func, frame.File, frame.Line)
	}
	return b.String()
}

// close counts the interval that a goroutine is in.
func (c *counts) close(g *goroutine, at trace.Time, right bool, thread trace.ThreadID) {
	ns := max(0, int64(at-g.since))
	switch g.state {
	case trace.GoRunning:
		if g.worker {
			c.workers.add(ns)
		}
	case trace.GoRunnable:
		if g.cause == "unblock" && g.wokenOn == thread && at-g.wokenAt < oneEvent {
			return
		}
		cause := g.cause
		if g.worker {
			cause = "gc worker"
		}
		if !g.left && !right {
			l := c.latency[cause]
			if l == nil {
				l = &latency{}
				c.latency[cause] = l
			}
			l.add(ns)
			l.all = append(l.all, ns)
		}
		if g.worker {
			return
		}
		stopped, marking := c.within(g.since, at)
		c.runnable.class(g.left, right).add(ns)
		c.stopped += stopped
		c.marking += marking
		c.other += max(0, ns-stopped-marking)
	case trace.GoWaiting, trace.GoSyscall:
		g.key.spans.class(g.left, right).add(ns)
		if !g.left || !right {
			stopped, marking := c.within(g.since, at)
			g.key.stopped += stopped
			g.key.marking += marking
		}
	}
}

func (c *counts) within(from, until trace.Time) (stopped, marking int64) {
	stopped = c.world.within(from, until)
	return stopped, max(0, c.disturbed.within(from, until)-stopped)
}

func (c *counts) rng(e *trace.Event) {
	r, at, kind := e.Range(), e.Time(), e.Kind()
	switch {
	case strings.HasPrefix(r.Name, "stop-the-world"):
		id := r.Scope.Goroutine()
		if kind == trace.EventRangeBegin {
			c.stopping[id] = stopping{at, r.Name}
			c.world.begin(at)
			c.disturbed.begin(at)
			return
		}
		open := c.stopping[id]
		delete(c.stopping, id)
		known := c.stops[open.kind]
		if known == nil {
			known = &sum{}
			c.stops[open.kind] = known
		}
		known.add(int64(at - open.at))
		c.world.end(at)
		c.disturbed.end(at)
	case r.Name == "GC concurrent mark phase":
		switch kind {
		case trace.EventRangeEnd:
			c.mark.class(c.markLeft, false).add(int64(at - c.markSince))
			c.markOpen = false
			c.disturbed.end(at)
		default:
			if c.markOpen {
				return
			}
			c.markOpen, c.markSince, c.markLeft = true, at, kind == trace.EventRangeActive
			if c.markLeft {
				c.markSince = c.begin
			}
			c.disturbed.begin(c.markSince)
		}
	case r.Name == "GC mark assist":
		g := c.goroutines[r.Scope.Goroutine()]
		switch kind {
		case trace.EventRangeBegin:
			g.assist = &assist{since: at}
		case trace.EventRangeActive:
			if g.assist == nil {
				g.assist = &assist{c.begin, true}
			}
		default:
			c.assists.class(g.assist.left, false).add(int64(at - g.assist.since))
			g.assist = nil
		}
	case r.Name == "GC incremental sweep":
		if kind != trace.EventRangeEnd {
			if _, open := c.sweeps[r.Scope]; !open {
				c.sweeps[r.Scope] = at
			}
			return
		}
		c.sweep.add(int64(at - c.sweeps[r.Scope]))
		delete(c.sweeps, r.Scope)
		for _, a := range e.RangeAttributes() {
			switch a.Name {
			case "bytes swept":
				c.swept += a.Value.Uint64()
			case "bytes reclaimed":
				c.reclaimed += a.Value.Uint64()
			}
		}
	}
}

func (c *counts) finish() {
	for _, g := range c.goroutines {
		c.close(g, c.last, true, trace.NoThread)
		if g.assist != nil {
			c.assists.class(g.assist.left, true).add(int64(c.last - g.assist.since))
		}
	}
	if c.markOpen {
		c.mark.class(c.markLeft, true).add(int64(c.last - c.markSince))
	}
}

func (c *counts) print(w io.Writer) {
	line := func(cells ...any) {
		for at, cell := range cells {
			if at > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	}
	all := func(name string, s *spans, more ...any) {
		cells := []any{name}
		for at := range classes {
			cells = append(cells, s[at].count, s[at].ns)
		}
		line(append(cells, more...)...)
	}
	line("window", int64(c.last-c.begin), len(c.goroutines))
	for _, k := range c.keys {
		all(k.kind, &k.spans, k.stopped, k.marking, k.reason, k.frames)
	}
	for cause, l := range c.latency {
		sort.Slice(l.all, func(i, j int) bool { return l.all[i] < l.all[j] })
		at := func(percent int) int64 {
			return l.all[max(0, (len(l.all)*percent+99)/100-1)]
		}
		line("latency", cause, l.count, l.ns, l.longest, at(50), at(90), at(99))
	}
	all("runnable", &c.runnable, c.stopped, c.marking, c.other)
	for kind, s := range c.stops {
		line("stop", kind, s.count, s.ns, s.longest)
	}
	all("mark", &c.mark)
	all("assist", &c.assists)
	line("sweep", c.sweep.count, c.sweep.ns, c.swept, c.reclaimed)
	line("workers", c.workers.count, c.workers.ns)
	for k, s := range c.sites {
		line("site", s.created, s.ended, text(k.creator), text(k.entry))
	}
	line("ended_older", c.endedOlder)
	line("lost", c.lost)
	for id, g := range c.goroutines {
		if g.state == trace.GoWaiting && g.left {
			line("parked", int64(id))
		}
	}
	line("metrics", c.metrics[0], c.metrics[1], c.metrics[2])
}

// stretches of time, one after the other, that concern all goroutines.
type stretches struct {
	closed []stretch
	open   trace.Time
	depth  int
}

type stretch struct {
	from, until trace.Time
	before      int64
}

func (s *stretches) begin(at trace.Time) {
	if s.depth++; s.depth == 1 {
		s.open = at
		if n := len(s.closed); n > 0 {
			s.open = max(at, s.closed[n-1].until)
		}
	}
}

func (s *stretches) end(at trace.Time) {
	if s.depth--; s.depth > 0 {
		return
	}
	var before int64
	if n := len(s.closed); n > 0 {
		last := s.closed[n-1]
		before = last.before + int64(last.until-last.from)
	}
	s.closed = append(s.closed, stretch{s.open, max(at, s.open), before})
}

// within is how much of the time between two moments lies in them.
func (s *stretches) within(from, until trace.Time) int64 {
	var open int64
	if s.depth > 0 {
		open = max(0, int64(until-max(s.open, from)))
	}
	if n := len(s.closed); n == 0 || s.closed[n-1].until <= from {
		return open
	}
	return open + s.upTo(until) - s.upTo(from)
}

func (s *stretches) upTo(at trace.Time) int64 {
	next := sort.Search(len(s.closed), func(i int) bool { return s.closed[i].from >= at })
	if next == 0 {
		return 0
	}
	last := s.closed[next-1]
	return last.before + max(0, int64(min(last.until, at)-last.from))
}
