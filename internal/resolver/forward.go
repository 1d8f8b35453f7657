// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// patience bounds one question to one server.
const patience = 2 * time.Second

// forward asks a server. The question goes out under a number and from a port
// that nobody can guess, and what comes back must repeat both (RFC 5452).
func forward(server string, message []byte, tcp bool) ([]byte, error) {
	return exchange(net.JoinHostPort(server, "53"), message, tcp)
}

func exchange(address string, message []byte, tcp bool) ([]byte, error) {
	if len(message) < headerSize {
		return nil, errors.New("a message without a header")
	}
	network := "udp"
	if tcp {
		network = "tcp"
	}
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	asked := bytes.Clone(message)
	if _, err := rand.Read(asked[:2]); err != nil {
		return nil, err
	}
	if tcp {
		if err := writeTCP(c, asked); err != nil {
			return nil, err
		}
		answer, err := readTCP(c)
		if err != nil {
			return nil, err
		}
		return accept(answer, asked, message)
	}
	if _, err := c.Write(asked); err != nil {
		return nil, err
	}
	b := make([]byte, 65535)
	for {
		n, err := c.Read(b)
		if err != nil {
			return nil, err
		}
		// A forged answer is passed over; the true one may follow.
		if answer, err := accept(b[:n], asked, message); err == nil {
			return answer, nil
		}
	}
}

// headerSize is that of a message's header, in bytes.
const headerSize = 12

// accept checks that an answer belongs to what was asked, and gives it the
// number of the client's own question.
func accept(answer, asked, original []byte) ([]byte, error) {
	var p, own dnsmessage.Parser
	header, err := p.Start(answer)
	if err != nil {
		return nil, err
	}
	ownHeader, err := own.Start(asked)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if errors.Is(err, dnsmessage.ErrSectionDone) && header.ID == ownHeader.ID && header.Response {
		return refusal(header.RCode, original)
	}
	if err != nil {
		return nil, err
	}
	ownQuestion, err := own.Question()
	if err != nil {
		return nil, err
	}
	if header.ID != ownHeader.ID || !header.Response || question.Type != ownQuestion.Type || question.Class != ownQuestion.Class ||
		!bytes.EqualFold(question.Name.Data[:question.Name.Length], ownQuestion.Name.Data[:ownQuestion.Name.Length]) {
		return nil, fmt.Errorf("an answer to another question")
	}
	answer = bytes.Clone(answer)
	copy(answer, original[:2])
	return answer, nil
}

// refusal is the answer in place of one that repeats no question: so answer
// servers that do not understand it.
func refusal(status dnsmessage.RCode, original []byte) ([]byte, error) {
	q, _, ok := parse(original)
	if !ok || status == dnsmessage.RCodeSuccess || status == dnsmessage.RCodeNameError {
		return nil, errors.New("an answer without a question")
	}
	return q.reply(status, nil, ""), nil
}

// Messages over TCP have their length in front (RFC 1035, 4.2.2).
func writeTCP(w io.Writer, message []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...))
	return err
}

func readTCP(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}
