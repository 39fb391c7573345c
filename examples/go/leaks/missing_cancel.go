package main

import "context"

// running ends when the service does.
var running, shutDown = context.WithCancel(context.Background())

// Missing cancel: what a request starts would end with its context, but nobody cancels that. go vet finds a cancel
// function that is dropped where it is made; here it is kept, for a stop that is never called.
//
// The context stays known to its parent, and so to the whole program: no runtime can prove that nobody will cancel it.
//
// The cure is a defer of stop right after subscribe.
func missingCancel(fixed bool) {
	s := subscribe(running)
	if fixed {
		defer s.stop()
	}
	s.news <- "sold out"
}

type subscription struct {
	news chan string
	stop context.CancelFunc
}

func subscribe(ctx context.Context) *subscription {
	ctx, stop := context.WithCancel(ctx)
	s := &subscription{news: make(chan string), stop: stop}
	go s.forward(ctx)
	return s
}

func (s *subscription) forward(ctx context.Context) (forwarded int) {
	for {
		select { // LEAK
		case <-s.news:
			forwarded++
		case <-ctx.Done():
			return forwarded
		}
	}
}
