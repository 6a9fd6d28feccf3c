package control

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds on a message of HTTP.
const (
	maxHead   = 8 << 10 // bytes of request or status line and header
	maxBody   = 64 << 10
	maxAnswer = 64 << 20 // bytes of an answer's body that a client takes
)

// Status codes (RFC 9110, section 15).
const (
	statusSwitching        = 101
	statusOK               = 200
	statusBadRequest       = 400
	statusForbidden        = 403
	statusNotFound         = 404
	statusMethodNotAllowed = 405
	statusConflict         = 409
	statusTooLarge         = 413
	statusHeadTooLarge     = 431
	statusInternal         = 500
	statusNotImplemented   = 501
)

var phrases = map[int]string{
	statusSwitching: "Switching Protocols", statusOK: "OK", statusBadRequest: "Bad Request", statusForbidden: "Forbidden", statusNotFound: "Not Found",
	statusMethodNotAllowed: "Method Not Allowed", statusConflict: "Conflict", statusTooLarge: "Content Too Large",
	statusHeadTooLarge: "Request Header Fields Too Large", statusInternal: "Internal Server Error", statusNotImplemented: "Not Implemented",
}

// problem is an error that has a status code.
type problem struct {
	code int
	text string
}

func (p *problem) Error() string { return p.text }

func problemf(code int, format string, args ...any) error {
	return &problem{code, fmt.Sprintf(format, args...)}
}

// request is what a client asks for.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	upgrade      string              // the protocol to go on in, "" for none
	rest         io.Reader           // what follows the request
	files        []*os.File          // that came along
	wait         func(time.Duration) // says that the answer may take so long
	waits        func() bool         // reports whether the client still waits for the answer
	// keep says which of the files that came along are to be closed in the end.
	keep func(rest map[string]*os.File)
}

// readRequest reads one request. An error that is a *problem can be told to the client.
func readRequest(r io.Reader) (request, error) {
	line, header, rest, err := readHead(r, maxHead)
	if err != nil {
		return request{}, err
	}
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] == "" || !strings.HasPrefix(words[2], "HTTP/1.") {
		return request{}, problemf(statusBadRequest, "not a request of HTTP/1.1")
	}
	path, after, _ := strings.Cut(words[1], "?")
	if !strings.HasPrefix(path, "/") {
		return request{}, problemf(statusBadRequest, "the target must be a path")
	}
	if header.Get("Transfer-Encoding") != "" {
		return request{}, problemf(statusNotImplemented, "send the body with a Content-Length")
	}
	size, err := contentLength(header, 0)
	if err != nil {
		return request{}, err
	}
	if size > maxBody {
		return request{}, problemf(statusTooLarge, "a body of %d bytes, at most %d are taken", size, maxBody)
	}
	query, err := url.ParseQuery(after)
	if err != nil {
		return request{}, problemf(statusBadRequest, "the query: %v", err)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(rest, body); err != nil {
		return request{}, err
	}
	return request{method: words[0], path: path, query: query, body: body, upgrade: header.Get("Upgrade"), rest: rest}, nil
}

// readHead reads the first line and the header of a message, at most limit bytes of them. rest is what follows.
func readHead(r io.Reader, limit int64) (line string, header textproto.MIMEHeader, rest io.Reader, err error) {
	head := &io.LimitedReader{R: r, N: limit}
	buffered := bufio.NewReaderSize(head, 1024)
	t := textproto.NewReader(buffered)
	if line, err = t.ReadLine(); err == nil {
		header, err = t.ReadMIMEHeader()
	}
	switch {
	case err == nil:
		// What the buffer holds beyond the header is the body's beginning.
		ahead, _ := buffered.Peek(buffered.Buffered())
		return line, header, io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), r), nil
	case head.N <= 0:
		err = problemf(statusHeadTooLarge, "a header of more than %d bytes", limit)
	case errors.As(err, new(textproto.ProtocolError)):
		err = problemf(statusBadRequest, "%v", err)
	}
	return "", nil, nil, err
}

// contentLength is the length of the body that follows a header, missing where it does not say.
func contentLength(h textproto.MIMEHeader, missing int64) (int64, error) {
	values := h.Values("Content-Length")
	switch len(values) {
	case 0:
		return missing, nil
	case 1:
		if n, err := strconv.ParseUint(values[0], 10, 63); err == nil {
			return int64(n), nil
		}
	}
	return 0, problemf(statusBadRequest, "Content-Length: want one number")
}

// writeAnswer writes an answer, the last thing on its connection.
func writeAnswer(w io.Writer, code int, kind string, body []byte) error {
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		code, phrases[code], kind, len(body))
	_, err := w.Write(append([]byte(head), body...))
	return err
}

// writeRequest writes a request, the only one on its connection.
func writeRequest(w net.Conn, r request) error {
	target := r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	connection := "close"
	if r.upgrade != "" {
		connection = "Upgrade\r\nUpgrade: " + r.upgrade
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: vmm\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n",
		r.method, target, len(r.body), connection)
	message := append([]byte(head), r.body...)
	if len(r.files) > 0 {
		return sendFiles(w, message, r.files)
	}
	_, err := w.Write(message)
	return err
}

// readAnswerHead reads an answer but for its body, which is in rest.
func readAnswerHead(r io.Reader) (code int, header textproto.MIMEHeader, rest io.Reader, err error) {
	line, header, rest, err := readHead(r, maxHead)
	if err != nil {
		return 0, nil, nil, err
	}
	words := strings.SplitN(line, " ", 3)
	if len(words) < 2 || !strings.HasPrefix(words[0], "HTTP/1.") {
		return 0, nil, nil, errors.New("not an answer of HTTP/1.1")
	}
	if code, err = strconv.Atoi(words[1]); err != nil {
		return 0, nil, nil, errors.New("an answer without a status code")
	}
	return code, header, rest, nil
}

// readAnswer reads an answer.
func readAnswer(r io.Reader) (code int, body []byte, err error) {
	code, header, rest, err := readAnswerHead(r)
	if err != nil {
		return 0, nil, err
	}
	return readAnswerBody(code, header, rest)
}

func readAnswerBody(code int, header textproto.MIMEHeader, rest io.Reader) (_ int, body []byte, err error) {
	size, err := contentLength(header, maxAnswer)
	if err != nil || size > maxAnswer {
		return 0, nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	body, err = io.ReadAll(io.LimitReader(rest, size))
	if err == nil && int64(len(body)) < size && header.Get("Content-Length") != "" {
		err = io.ErrUnexpectedEOF
	}
	return code, body, err
}
