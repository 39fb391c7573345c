// Command incident is a service that is taken down by a conversion of structs to maps, with everything
// needed to watch that happen:
//
//	incident serve     the service
//	incident load      its clients
//	incident mapkeys   what reflect.Value.MapKeys does when it is given a struct
//	incident prepare   configurations of Prometheus and Alertmanager, for a story that is told faster
//	incident story     tells what happens, and deploys the fix
//
// Each takes -help. The script run beside this file starts them all. serve prints one line on standard
// output when it serves (ready http://127.0.0.1:41923); serve and load exit when their standard input is
// closed. Standard library only.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("incident: ")
	mode, arguments := "", []string(nil)
	if len(os.Args) > 1 {
		mode, arguments = os.Args[1], os.Args[2:]
	}
	flags := flag.NewFlagSet(mode, flag.ExitOnError)
	switch mode {
	case "serve":
		listen := flags.String("listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
		mailboxes := flags.Int("mailboxes", 1200, "how many goroutines the service has besides")
		parse(flags, arguments)
		serve(*listen, *mailboxes)
	case "load":
		l := load{}
		flags.StringVar(&l.target, "target", "http://127.0.0.1:6060", "`URL` of the service")
		flags.Float64Var(&l.orders, "orders", 120, "orders a `minute`")
		flags.Float64Var(&l.refunds, "refunds", 1530, "refunds a `minute`")
		flags.DurationVar(&l.rest, "rest", 5*time.Minute, "how long there are orders only")
		flags.Float64Var(&l.speed, "speed", 1, "`minutes` that pass in one")
		parse(flags, arguments)
		go l.run()
		untilStdinCloses()
	case "mapkeys":
		parse(flags, arguments)
		mapKeys()
	case "prepare":
		prepareCommand(flags, arguments)
	case "story":
		storyCommand(flags, arguments)
	default:
		log.Fatal("usage: incident serve|load|mapkeys|prepare|story [-help]")
	}
}

func parse(flags *flag.FlagSet, arguments []string) {
	_ = flags.Parse(arguments) // exits on what it cannot read
	if flags.NArg() > 0 {
		log.Fatalf("what is %q?", flags.Arg(0))
	}
}

func serve(listen string, mailboxes int) {
	s := newService(mailboxes)
	l, err := net.Listen("tcp", listen)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { log.Fatal(server.Serve(l)) }()
	fmt.Printf("ready http://%s\n", l.Addr())
	untilStdinCloses()
}

func untilStdinCloses() {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Fatal(err)
	}
}
