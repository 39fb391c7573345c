package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// share of all goroutines that the largest group must come to.
	share = 0.95
	// recovery is how long it may take after the fix until things are as they were, on the story's clock.
	recovery = 5 * time.Minute
	// resolution is how long it may take after the fix until the last alert is over: the exporter has five
	// minutes to recover, and the routing lets five more pass between two messages.
	resolution = 15 * time.Minute
	// again is how often it looks, on the story's clock.
	again = 15 * time.Second
)

// story watches the service through the exporter and tells what happens.
type story struct {
	service, exporter string
	told              chan notification // nil where there is no Alertmanager
	surge             time.Duration
	speed             float64
	begun             time.Time
	client            http.Client
}

// look is what one probe shows.
type look struct {
	total, largest, ratio, watched float64
	frame, reason                  string
}

// notification is what Alertmanager sends.
type notification struct {
	Receiver string `json:"receiver"`
	Status   string `json:"status"`
	Labels   struct {
		Alert string `json:"alertname"`
	} `json:"groupLabels"`
	Alerts []struct {
		Annotations struct {
			Summary  string `json:"summary"`
			Location string `json:"location"`
		} `json:"annotations"`
	} `json:"alerts"`
}

func storyCommand(flags *flag.FlagSet, arguments []string) {
	s := story{client: http.Client{Timeout: 10 * time.Second}}
	flags.StringVar(&s.service, "service", "http://127.0.0.1:6060", "`URL` of the service")
	flags.StringVar(&s.exporter, "exporter", "http://127.0.0.1:16060", "`URL` of the exporter")
	told := flags.String("told", "", "`address` to which Alertmanager sends its messages; none: there is no Alertmanager")
	flags.DurationVar(&s.surge, "surge", 30*time.Minute, "from the first stuck goroutine to the fix, on the story's clock")
	flags.Float64Var(&s.speed, "speed", 1, "`minutes` that pass in one")
	parse(flags, arguments)
	if *told != "" {
		s.told = make(chan notification, 100)
		l, err := net.Listen("tcp", *told)
		if err != nil {
			log.Fatal(err)
		}
		go func() { log.Fatal(http.Serve(l, http.HandlerFunc(s.hear))) }()
	}
	if wrong := s.tell(); len(wrong) > 0 {
		fmt.Printf("not as it should be: %s\n", strings.Join(wrong, "; "))
		os.Exit(1)
	}
	fmt.Println("all of it was seen")
}

func (s *story) hear(_ http.ResponseWriter, r *http.Request) {
	var n notification
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		log.Printf("what is that? %v", err)
		return
	}
	s.told <- n
}

// say prints one line with the story's time.
func (s *story) say(format string, values ...any) {
	now := s.since(s.begun).Round(time.Second)
	fmt.Printf("%3d:%02d  %s\n", now/time.Minute, now%time.Minute/time.Second, fmt.Sprintf(format, values...))
}

// since is how much of the story has passed.
func (s *story) since(moment time.Time) time.Duration {
	return time.Duration(float64(time.Since(moment)) * s.speed)
}

// tell tells the story, and what was not as it should be.
func (s *story) tell() (wrong []string) {
	s.begun = time.Now()
	rest := s.look()
	s.say("at rest: %.0f goroutines", rest.total)
	for s.stuck() == 0 {
		rest = s.look()
		s.wait()
	}
	surged := time.Now()
	s.say("the first goroutine is stuck; the log has one line, clients notice nothing")

	firing := map[string]bool{}
	lines := 0
	var peak look
	for next := 5 * time.Minute; s.since(surged) < s.surge; s.wait() {
		peak = s.look()
		if s.since(surged) >= next {
			s.say("%s", peak)
			next += 5 * time.Minute
		}
		lines += s.listen(firing)
	}
	peak = s.look()
	s.say("%s", peak)
	if peak.ratio < share {
		wrong = append(wrong, fmt.Sprintf("only %.1f %% in one group", 100*peak.ratio))
	}
	if peak.watched < share*peak.total {
		wrong = append(wrong, fmt.Sprintf("only %.0f under runtime.mapassign", peak.watched))
	}
	if s.told != nil && lines == 0 {
		wrong = append(wrong, "no alert named a line")
	}

	if _, err := s.client.Post(s.service+"/fix", "", nil); err != nil {
		log.Fatal(err)
	}
	fixed := time.Now()
	s.say("the fix is deployed")
	for now := s.look(); ; now = s.look() {
		// Connections come and go.
		if now.total <= 1.1*rest.total {
			s.say("recovered %s after the fix: %.0f goroutines", s.since(fixed).Round(time.Second), now.total)
			break
		}
		if s.since(fixed) > recovery {
			wrong = append(wrong, fmt.Sprintf("%.0f goroutines five minutes after the fix", now.total))
			break
		}
		s.wait()
	}
	for ; len(firing) > 0; s.wait() {
		s.listen(firing)
		if s.since(fixed) > resolution {
			wrong = append(wrong, fmt.Sprintf("alerts that fire %s after the fix: %v", resolution, firing))
			break
		}
	}
	return wrong
}

// listen tells what Alertmanager has sent, notes what fires, and counts the alerts that name a line.
func (s *story) listen(firing map[string]bool) (lines int) {
	for {
		select {
		case n := <-s.told:
			if n.Status != "firing" {
				delete(firing, n.Labels.Alert)
				s.say("%s is over, the %s hears", n.Labels.Alert, n.Receiver)
				continue
			}
			s.say("%s fires, the %s hears", n.Labels.Alert, n.Receiver)
			for _, a := range n.Alerts {
				fmt.Printf("        %s\n", a.Annotations.Summary)
				if a.Annotations.Location != "" {
					fmt.Printf("        line: %s\n", a.Annotations.Location)
				}
				if strings.Contains(a.Annotations.Location, "converter.go:") {
					lines++
				}
			}
			switch n.Receiver {
			case "pager":
				// It silences what the tickets heard of the same leak, end included.
				clear(firing)
				firing[n.Labels.Alert] = true
			case "tickets":
				firing[n.Labels.Alert] = true
			}
		default:
			return lines
		}
	}
}

func (l look) String() string {
	return fmt.Sprintf("%.0f goroutines, %.1f %% in %s (%s), %.0f under runtime.mapassign",
		l.total, 100*l.ratio, l.frame, l.reason, l.watched)
}

func (s *story) wait() {
	pause := time.Duration(float64(again) / s.speed)
	if pause < soonest {
		pause = soonest
	}
	time.Sleep(pause)
}

// stuck is how many goroutines the service itself believes to be stuck, once it has lost an event.
func (s *story) stuck() int64 {
	var t truth
	body := s.get(s.service + "/truth")
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&t); err != nil {
		log.Fatal(err)
	}
	if t.Lost == 0 {
		return 0
	}
	return t.Goroutines[0].Goroutines
}

// look asks the exporter, until it has an answer of the service.
func (s *story) look() look {
	path := "/probe?target=" + url.QueryEscape(s.service)
	for {
		var l look
		success := false
		body := s.get(s.exporter + path)
		for lines := bufio.NewScanner(body); lines.Scan(); {
			series, number, _ := strings.Cut(lines.Text(), "} ")
			if !strings.Contains(series, "{") {
				series, number, _ = strings.Cut(lines.Text(), " ")
			}
			name, labels, _ := strings.Cut(series, "{")
			value, err := strconv.ParseFloat(number, 64)
			if err != nil {
				continue // a comment
			}
			switch name {
			case "goroutine_probe_success":
				success = value == 1
			case "goroutine_goroutines":
				l.total = value
			case "goroutine_largest_group_ratio":
				l.ratio = value
			case "goroutine_watch_goroutines":
				l.watched = value
			case "goroutine_group_goroutines":
				if value > l.largest {
					l.largest, l.frame, l.reason = value, label(labels, "blocking_frame"), label(labels, "wait_reason")
				}
			}
		}
		body.Close()
		if success {
			return l
		}
		s.wait()
	}
}

// label is the value of a label that needs no escape.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(","+labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func (s *story) get(url string) io.ReadCloser {
	answer, err := s.client.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s: %s", url, answer.Status)
	}
	return answer.Body
}
