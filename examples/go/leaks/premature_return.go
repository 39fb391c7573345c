package main

import "errors"

// Premature return: a request starts a worker, finds a reason to give up, and returns before it receives the result.
// Nobody else will, so the worker's send never ends.
//
// The cure is room for the result: the send then needs nobody.
func prematureReturn(fixed bool) {
	room := 0
	if fixed {
		room = 1
	}
	invoice := make(chan string, room)
	go renderInvoice(invoice)
	if err := checkAddress(""); err != nil {
		return
	}
	<-invoice
}

func renderInvoice(invoice chan<- string) {
	invoice <- "one coffee, 2.50" // LEAK
}

func checkAddress(address string) error {
	if address == "" {
		return errors.New("no address")
	}
	return nil
}
