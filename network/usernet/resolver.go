package usernet

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ResolvConf names the host's resolvers, resolv.conf(5).
const ResolvConf = "/etc/resolv.conf"

const (
	resolvCheck    = 5 * time.Second // how often the file is looked at, at most
	maxResolvConf  = 64 << 10
	maxResolvers   = 3 // as many as resolv.conf(5) allows
	resolveTimeout = 3 * time.Second
	resolveRounds  = 2
)

// errNoResolver says that there is nobody to ask.
var errNoResolver = errors.New("the host has no DNS resolver in " + ResolvConf)

// resolver asks the host's DNS servers.
type resolver struct {
	open func() (*os.File, error)

	mu      sync.Mutex
	fixed   bool
	servers []netip.AddrPort
	checked time.Time
	changed time.Time // of the file, when it was read
}

// init takes fixed servers, or looks at the file for the first time.
func (r *resolver) init(servers []netip.AddrPort, open func() (*os.File, error)) {
	r.fixed, r.servers, r.open = len(servers) > 0, servers, open
	if r.open == nil {
		r.open = func() (*os.File, error) { return os.Open(ResolvConf) }
	}
	r.list()
}

// list returns the servers to ask, of which a changed /etc/resolv.conf makes new ones: a laptop changes networks.
func (r *resolver) list() []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fixed || time.Since(r.checked) < resolvCheck {
		return r.servers
	}
	r.checked = time.Now()
	f, err := r.open()
	if err != nil {
		return r.servers
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.ModTime().Equal(r.changed) {
		return r.servers
	}
	r.servers, r.changed = parseResolvConf(f), info.ModTime()
	return r.servers
}

// parseResolvConf reads the nameserver lines of a resolv.conf(5).
func parseResolvConf(f io.Reader) []netip.AddrPort {
	var servers []netip.AddrPort
	lines := bufio.NewScanner(io.LimitReader(f, maxResolvConf))
	for lines.Scan() && len(servers) < maxResolvers {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return servers
}

// exchange asks the servers in turn, by "udp" or "tcp", and returns the first answer that fits the question. The
// answer bears the identifier of the question.
func (r *resolver) exchange(ctx context.Context, network string, query []byte) ([]byte, error) {
	servers := r.list()
	err := errNoResolver
	for range resolveRounds {
		for _, s := range servers {
			var answer []byte
			if answer, err = ask(ctx, network, s, query); err == nil {
				return answer, nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return nil, err
}

// ask asks one server, from a port and with an identifier that nobody can guess.
func ask(ctx context.Context, network string, server netip.AddrPort, query []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	sent := append([]byte(nil), query...)
	id := uint16(rand.Uint32())
	sent[0], sent[1] = byte(id>>8), byte(id)
	if network == "tcp" {
		err = writeDNSMessage(conn, sent)
	} else {
		_, err = conn.Write(sent)
	}
	if err != nil {
		return nil, err
	}
	buf := datagramPool.Get().(*[maxPayload]byte)
	defer datagramPool.Put(buf)
	for {
		var answer []byte
		if network == "tcp" {
			answer, err = readDNSMessage(conn, buf[:])
		} else {
			var size int
			size, err = conn.Read(buf[:])
			answer = buf[:size]
		}
		if err != nil {
			return nil, err
		}
		if !answers(answer, sent) {
			continue // forged or broken: the right one may still come
		}
		answer = append([]byte(nil), answer...)
		copy(answer, query[:2])
		return answer, nil
	}
}

// answers says whether a message is a well-formed answer to the question in query.
func answers(message, query []byte) bool {
	var q, a dnsmessage.Parser
	qh, err := q.Start(query)
	if err != nil {
		return false
	}
	ah, err := a.Start(message)
	if err != nil || ah.ID != qh.ID || !ah.Response || ah.OpCode != qh.OpCode {
		return false
	}
	asked, err := q.Question()
	if err != nil {
		return false
	}
	got, err := a.Question()
	if err != nil || got.Type != asked.Type || got.Class != asked.Class ||
		!strings.EqualFold(got.Name.String(), asked.Name.String()) {
		return false
	}
	return a.SkipAllQuestions() == nil && a.SkipAllAnswers() == nil && a.SkipAllAuthorities() == nil && a.SkipAllAdditionals() == nil
}
