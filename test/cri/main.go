// SPDX-License-Identifier: Apache-2.0

// Command cri makes calls of the Kubernetes Container Runtime Interface, as a
// kubelet does, for the tests of engines:
//
//	cri METHOD <REQUEST.json          the response, as JSON
//	cri stream [-i] URL               what an Exec or Attach response leads to
//
// METHOD is one of the service RuntimeService or ImageService. It is a module of
// its own: nothing of it is linked into unitc.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const endpoint = "unix:///run/containerd/containerd.sock"

// patience bounds one call: pods are made in seconds, on any machine.
const patience = 2 * time.Minute

func main() {
	status, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(status)
}

func run(args []string) (int, error) {
	switch {
	case len(args) == 3 && args[0] == "stream" && args[1] == "-i":
		return stream(args[2], os.Stdin)
	case len(args) == 2 && args[0] == "stream":
		return stream(args[1], nil)
	case len(args) == 1:
		if err := call(args[0], os.Stdin, os.Stdout); err != nil {
			return 1, err
		}
		return 0, nil
	}
	return 2, errors.New("usage: cri METHOD <REQUEST | cri stream [-i] URL")
}

func call(method string, in io.Reader, out io.Writer) error {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	var f reflect.Value
	for _, client := range []any{cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)} {
		if f = reflect.ValueOf(client).MethodByName(method); f.IsValid() {
			break
		}
	}
	if !f.IsValid() {
		return fmt.Errorf("method %s: not of the interface", method)
	}
	request := reflect.New(f.Type().In(1).Elem())
	decoder := json.NewDecoder(in)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(request.Interface()); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result := f.Call([]reflect.Value{reflect.ValueOf(ctx), request})
	if err, failed := result[1].Interface().(error); failed {
		return err
	}
	return json.NewEncoder(out).Encode(result[0].Interface())
}
