package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// addresses are where everything listens: NAME as a shell knows it, and the usual port.
var addresses = []struct{ name, usual string }{
	{"SERVICE", "6060"},
	{"EXPORTER", "16060"},
	{"PROMETHEUS", "9090"},
	{"ALERTMANAGER", "9093"},
	{"TOLD", "9095"},
	{"GRAFANA", "3000"},
}

// prepareCommand writes the configurations of this repository to a folder, with these addresses and on the
// story's clock, and says the addresses for a shell to read.
func prepareCommand(flags *flag.FlagSet, arguments []string) {
	examples := flags.String("examples", "../..", "the `folder` examples of the repository")
	out := flags.String("out", "", "`folder` to write to")
	speed := flags.Float64("speed", 1, "`minutes` that pass in one: all durations are divided by it")
	anyPort := flags.Bool("any-port", false, "take free ports, not the usual ones")
	parse(flags, arguments)
	if *out == "" || *speed <= 0 {
		log.Fatal("prepare needs -out, and a -speed above 0")
	}
	at := map[string]string{}
	for _, a := range addresses {
		port := a.usual
		if *anyPort {
			port = "0"
		}
		at[a.name] = free(port)
		fmt.Printf("%s=%s\n", a.name, at[a.name])
	}
	p := preparation{from: *examples, to: *out, speed: *speed}
	p.write("go/incident/exporter.yml", "exporter.yml")
	interval := quicken("scrape_interval: 15s", *speed)
	p.write("prometheus/prometheus.yml", "prometheus.yml", interval, p.slowly(interval),
		"127.0.0.1:6060", at["SERVICE"], "127.0.0.1:16060", at["EXPORTER"], "127.0.0.1:9093", at["ALERTMANAGER"])
	p.write("prometheus/rules/goroutine_exporter.rules.yml", "rules/goroutine_exporter.rules.yml",
		"http://localhost:16060", "http://"+at["EXPORTER"], "http://localhost:3000", "http://"+at["GRAFANA"])
	p.write("alertmanager/alertmanager.yml", "alertmanager.yml", "127.0.0.1:9095", at["TOLD"])
	p.write("alertmanager/goroutine_exporter.tmpl", "goroutine_exporter.tmpl")
	dashboards, err := filepath.Abs(filepath.Join(*examples, "../dashboards"))
	if err != nil {
		log.Fatal(err)
	}
	const provisioning = "grafana/provisioning/"
	p.write(provisioning+"dashboards/goroutine.yml", provisioning+"dashboards/goroutine.yml",
		"/var/lib/grafana/dashboards/goroutine", dashboards)
	p.write(provisioning+"datasources/prometheus.yml", provisioning+"datasources/prometheus.yml")
}

// free is that port of loopback when nobody has it, and else another.
func free(port string) string {
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			log.Fatal(err)
		}
	}
	defer l.Close()
	return l.Addr().String()
}

// soonest is how often the service is looked at, at most. A goroutine profile takes as long as it takes, and
// with 47,000 goroutines that is a good part of a second on a small machine, however fast the story is told.
const soonest = time.Second

type preparation struct {
	from, to string
	speed    float64
}

// write writes a file of the examples with each of the old words, which must be there, replaced by the new
// one that follows it.
func (p preparation) write(from, to string, words ...string) {
	text, err := os.ReadFile(filepath.Join(p.from, from))
	if err != nil {
		log.Fatal(err)
	}
	faster := string(text)
	// The exporter's times are about the machine, not about the story, and the template has no durations.
	if strings.HasSuffix(to, ".yml") && to != "exporter.yml" {
		faster = quicken(faster, p.speed)
	}
	for i := 0; i < len(words); i += 2 {
		if !strings.Contains(faster, words[i]) {
			log.Fatalf("no %s in %s", words[i], from)
		}
	}
	file := filepath.Join(p.to, to)
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.NewReplacer(words...).Replace(faster)), 0o666); err != nil {
		log.Fatal(err)
	}
}

// slowly is an interval of scrapes that is not shorter than soonest.
func (p preparation) slowly(interval string) string {
	if 15*time.Second >= time.Duration(p.speed*float64(soonest)) {
		return interval
	}
	return "scrape_interval: " + soonest.String()
}

var duration = regexp.MustCompile(`(^|[^\w.])(\d+)(ms|s|m|h|d)\b`)

// quicken divides every duration in a text by speed. No threshold of the rules is a rate, so that is all it
// takes to let them judge a story that is told faster.
func quicken(text string, speed float64) string {
	if speed == 1 {
		return text
	}
	units := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	}
	return duration.ReplaceAllStringFunc(text, func(found string) string {
		part := duration.FindStringSubmatch(found)
		n, err := strconv.Atoi(part[2])
		if err != nil {
			log.Fatal(err)
		}
		millis := int64(float64(time.Duration(n)*units[part[3]]/time.Millisecond) / speed)
		if millis < 1 {
			millis = 1
		}
		return fmt.Sprintf("%s%dms", part[1], millis)
	})
}
