package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strings"
)

// maxHead bounds a request line with its header, in bytes.
const maxHead = 16 << 10

// request is a request without a body.
type request struct {
	method, path string
	header       textproto.MIMEHeader
}

var errRequest = errors.New("not a request of HTTP/1.1")

// readRequest reads a request. What the client sends behind it stays in r.
func readRequest(r *bufio.Reader) (req request, err error) {
	limited := &limitedReader{r: r, left: maxHead}
	head := textproto.NewReader(bufio.NewReaderSize(limited, 1)) // of the least size there is: what follows the head is not for it
	line, err := head.ReadLine()
	if err != nil {
		return req, err
	}
	parts := strings.Split(line, " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" || !strings.HasPrefix(parts[1], "/") {
		return req, errRequest
	}
	req.method = parts[0]
	req.path, _, _ = strings.Cut(parts[1], "?")
	req.header, err = head.ReadMIMEHeader()
	return req, err
}

// limitedReader hands out one byte at a time, and not too many.
type limitedReader struct {
	r    *bufio.Reader
	left int
}

func (l *limitedReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.left--; l.left < 0 {
		return 0, fmt.Errorf("%w: a head of more than %d bytes", errRequest, maxHead)
	}
	b, err := l.r.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// has says whether a header that is a list holds a word.
func (r *request) has(name, word string) bool {
	for _, v := range r.header.Values(name) {
		for w := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(w), word) {
				return true
			}
		}
	}
	return false
}

// securityHeaders go with every answer: the page runs our own scripts, and speaks to us alone.
const securityHeaders = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n" +
	"X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Opener-Policy: same-origin\r\n" +
	"Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\n"

// answer writes a whole answer.
func answer(w io.Writer, status, kind string, body []byte) error {
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n", status, kind, len(body), securityHeaders)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	_, err := w.Write(body)
	return err
}
