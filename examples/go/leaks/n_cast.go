package main

var mirrors = []string{"oslo", "lima", "pune"}

// N-cast: a request asks several, takes the first answer and goes. All the others send to nobody.
//
// The cure is room for every answer.
func nCast(fixed bool) {
	room := 0
	if fixed {
		room = len(mirrors)
	}
	first := make(chan string, room)
	for _, mirror := range mirrors {
		go download(mirror, first)
	}
	<-first
}

func download(mirror string, first chan<- string) {
	first <- "from " + mirror // LEAK
}
