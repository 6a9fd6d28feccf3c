package usernet

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	dnsPort       = 53
	dnsHeader     = 12
	maxQuery      = 4096 // bytes; questions are short
	maxDNSPending = 64   // questions in flight
	dnsTCPIdle    = 10 * time.Second
)

// errQuery says that a message is no question that the relay passes on.
var errQuery = errors.New("not a DNS question")

// dnsPending counts the questions in flight.
type dnsPending struct{ atomic.Int32 }

func (p *dnsPending) begin() bool {
	if p.Add(1) > maxDNSPending {
		p.Add(-1)
		return false
	}
	return true
}

func (p *dnsPending) end() { p.Add(-1) }

// handleDNS relays a question that came by UDP. It runs in the card's worker, so that the asking has a goroutine of its
// own.
func (n *Network) handleDNS(src netip.AddrPort, payload []byte) {
	if !n.dnsPending.begin() {
		n.refuse(RefusedLimit, UDP, netip.AddrPortFrom(n.cfg.DNS, dnsPort))
		return
	}
	query := append([]byte(nil), payload[:min(len(payload), maxQuery+1)]...)
	if !n.start(func() {
		defer n.dnsPending.end()
		if answer := n.resolve("udp", query); answer != nil {
			sender := udpSender{n: n, to: src}
			defer sender.close()
			sender.send(netip.AddrPortFrom(n.cfg.DNS, dnsPort), answer)
		}
	}) {
		n.dnsPending.end()
	}
}

// acceptDNS relays questions that come by TCP, one after the other (RFC 7766).
func (n *Network) acceptDNS(req *tcp.ForwarderRequest) {
	if !n.dnsPending.begin() {
		n.refuse(RefusedLimit, TCP, netip.AddrPortFrom(n.cfg.DNS, dnsPort))
		req.Complete(true)
		return
	}
	defer n.dnsPending.end()
	var wq waiter.Queue
	ep, terr := req.CreateEndpoint(&wq)
	req.Complete(terr != nil)
	if terr != nil {
		return
	}
	conn := gonet.NewTCPConn(&wq, ep)
	defer conn.Close()
	if !n.track(conn) {
		return
	}
	defer n.untrack(conn)
	buf := make([]byte, maxQuery)
	for {
		conn.SetDeadline(time.Now().Add(dnsTCPIdle))
		query, err := readDNSMessage(conn, buf)
		if err != nil {
			return
		}
		answer := n.resolve("tcp", query)
		if answer == nil || writeDNSMessage(conn, answer) != nil {
			return
		}
	}
}

// resolve answers a question: by the host's servers, or with an error that the guest understands. It returns nil for
// what is no question.
func (n *Network) resolve(network string, query []byte) []byte {
	question, err := parseQuery(query)
	if err != nil {
		n.stats.fromGuestMalformed.Add(1)
		return nil
	}
	n.stats.dnsQueries.Add(1)
	names, byName := n.cfg.Policy.(NamePolicy)
	name := strings.ToLower(question.Name.String())
	if byName && !names.AllowName(name) {
		n.refuseName(question.Name.String())
		return dnsError(query, question, dnsmessage.RCodeRefused)
	}
	answer, err := n.dns.exchange(n.ctx, network, query)
	if err != nil {
		n.stats.dnsFailures.Add(1)
		n.cfg.Logger.Debug("user network: asking DNS for the guest", "name", name, "err", err)
		return dnsError(query, question, dnsmessage.RCodeServerFailure)
	}
	if byName {
		names.Resolved(name, resolutions(name, answer))
	}
	return answer
}

// parseQuery returns the one question of a query.
func parseQuery(query []byte) (dnsmessage.Question, error) {
	var p dnsmessage.Parser
	if len(query) > maxQuery {
		return dnsmessage.Question{}, errQuery
	}
	h, err := p.Start(query)
	if err != nil {
		return dnsmessage.Question{}, err
	}
	if h.Response || h.OpCode != 0 {
		return dnsmessage.Question{}, errQuery
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return dnsmessage.Question{}, err
	}
	if len(questions) != 1 {
		return dnsmessage.Question{}, errQuery
	}
	return questions[0], nil
}

// dnsError makes an answer that says why there is none.
func dnsError(query []byte, question dnsmessage.Question, code dnsmessage.RCode) []byte {
	m := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID:                 binary.BigEndian.Uint16(query),
			Response:           true,
			RecursionDesired:   query[2]&1 != 0,
			RecursionAvailable: true,
			RCode:              code,
		},
		Questions: []dnsmessage.Question{question},
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// readDNSMessage reads a message with its length in front (RFC 1035, section 4.2.2) into buf, which it must fit.
func readDNSMessage(r io.Reader, buf []byte) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(length[:]))
	if size < dnsHeader || size > len(buf) {
		return nil, errQuery
	}
	_, err := io.ReadFull(r, buf[:size])
	return buf[:size], err
}

func writeDNSMessage(w io.Writer, message []byte) error {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, err := w.Write(append(b, message...))
	return err
}
