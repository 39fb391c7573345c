package main

import (
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"
)

// serving is how the program is reached.
type serving struct {
	listen, unix          string
	prefix                string
	cert, key, clientCA   string
	user, password, token string
}

func (s *serving) flags() {
	flag.StringVar(&s.listen, "listen", "127.0.0.1:0", "TCP `address` to serve on; port 0 takes any")
	flag.StringVar(&s.unix, "unix", "", "serve on a socket at this `path` in place of TCP")
	flag.StringVar(&s.prefix, "prefix", "/debug/pprof", "`path` the profiles live under")
	flag.StringVar(&s.cert, "tls-cert", "", "PEM `file` with the certificate; serves TLS")
	flag.StringVar(&s.key, "tls-key", "", "PEM `file` with its key")
	flag.StringVar(&s.clientCA, "tls-client-ca", "", "PEM `file`: clients must show a certificate signed by it")
	flag.StringVar(&s.user, "user", "", "profiles ask for this `name` (basic authentication)")
	flag.StringVar(&s.password, "password", "", "and this `password`")
	flag.StringVar(&s.token, "token", "", "profiles ask for this bearer `token`")
}

// start serves in the background. It returns the address in the form the exporter takes as a target, and
// what is to be done in the end.
func (s *serving) start(t *Truth) (string, func(), error) {
	clean := func() {}
	network, address, scheme := "tcp", s.listen, "http"
	if s.unix != "" {
		network, address, scheme = "unix", s.unix, "unix"
		clean = func() { os.Remove(s.unix) }
	}
	server := &http.Server{Handler: s.handler(t), ReadHeaderTimeout: 10 * time.Second}
	if s.cert != "" {
		config, err := s.tls()
		if err != nil {
			return "", nil, err
		}
		server.TLSConfig = config
		scheme += "s"
	}
	if scheme == "unixs" {
		return "", nil, errors.New("-unix and -tls-cert do not go together")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return "", nil, err
	}
	go serve(server, l)
	t.add(Entry{
		WaitReason: "IO wait", BlockingFrame: "net/http.(*Server).Serve", AppFrame: "main.serve",
		CreatedBy: "main.(*serving).start", Count: 1,
	})
	return fmt.Sprintf("%s://%s", scheme, l.Addr()), clean, nil
}

//go:noinline
func serve(server *http.Server, l net.Listener) {
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	fmt.Fprintln(os.Stderr, "waits:", err)
	os.Exit(1)
}

func (s *serving) tls() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if s.clientCA != "" {
		pem, err := os.ReadFile(s.clientCA)
		if err != nil {
			return nil, err
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", s.clientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config, nil
}

// handler serves the profiles, to whom may see them, and the truth, to everybody.
func (s *serving) handler(t *Truth) http.Handler {
	prefix := strings.TrimSuffix(s.prefix, "/") + "/"
	mux := http.NewServeMux()
	mux.Handle("/truth", t)
	mux.HandleFunc(prefix, func(w http.ResponseWriter, r *http.Request) {
		if !s.allows(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="profiles"`)
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		// What the init function of net/http/pprof does for /debug/pprof/, for any prefix.
		switch name := strings.TrimPrefix(r.URL.Path, prefix); name {
		case "":
			pprof.Index(w, r)
		case "cmdline":
			pprof.Cmdline(w, r)
		case "profile":
			pprof.Profile(w, r)
		case "symbol":
			pprof.Symbol(w, r)
		case "trace":
			pprof.Trace(w, r)
		default:
			pprof.Handler(name).ServeHTTP(w, r)
		}
	})
	return mux
}

func (s *serving) allows(r *http.Request) bool {
	if s.user != "" {
		user, password, _ := r.BasicAuth()
		return same(user, s.user) && same(password, s.password)
	}
	if s.token != "" {
		return same(r.Header.Get("Authorization"), "Bearer "+s.token)
	}
	return true
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
