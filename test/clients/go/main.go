// A party of Busbar over gRPC, with stubs that protoc-gen-go and protoc-gen-go-grpc generate from the published
// proto files.
//
//	go run . HOST:PORT PARTY DEVICE
//
// The same story as ../python/grpc_client.py. Prints one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	busbarv1 "busbar/proto/busbar/v1"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const callTime = time.Minute

type summary struct {
	Acknowledged string   `json:"acknowledged"`
	Repeated     string   `json:"repeated"`
	Counter      string   `json:"counter"`
	Response     string   `json:"response"`
	Readings     int      `json:"readings"`
	Received     bool     `json:"received"`
	Rejected     string   `json:"rejected"`
	Fields       []string `json:"fields"`
}

type party struct {
	input  busbarv1.InputGatewayClient
	output busbarv1.OutputGatewayClient
}

func (p party) submit(ctx context.Context, request *busbarv1.ServiceRequest) (*busbarv1.Acknowledgement, error) {
	response, err := p.input.Submit(ctx, &busbarv1.SubmitRequest{Request: request})
	if err != nil {
		return nil, err
	}
	return response.GetAcknowledgement(), nil
}

// receive takes deliveries until the one with the wanted identifier has come, and acknowledges all of them.
func (p party) receive(ctx context.Context, wanted uint64) (*busbarv1.Delivery, error) {
	stream, err := p.output.Receive(ctx)
	if err != nil {
		return nil, err
	}
	open := &busbarv1.ReceiveRequest_OpenReceiver{OpenReceiver: &busbarv1.OpenReceiver{Credit: 100}}
	if err := stream.Send(&busbarv1.ReceiveRequest{Step: open}); err != nil {
		return nil, err
	}
	var found *busbarv1.Delivery
	for found == nil {
		response, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		for _, delivery := range response.GetDeliveries() {
			if delivery.GetDeliveryId() == wanted {
				found = delivery
			}
			done := &busbarv1.AcknowledgeDeliveries{DeliveryId: delivery.GetDeliveryId()}
			step := &busbarv1.ReceiveRequest_Acknowledge{Acknowledge: done}
			if err := stream.Send(&busbarv1.ReceiveRequest{Step: step}); err != nil {
				return nil, err
			}
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	// The stream ends when the last acknowledgement is on disk.
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
	}
}

// rejection asks for the status of a request whose target is not a device.
func (p party) rejection(ctx context.Context, originator string) (string, []string, error) {
	malformed := &busbarv1.RequestId{Originator: originator, Target: "nobody", Counter: 1}
	var trailer metadata.MD
	_, err := p.input.GetRequestStatus(
		ctx, &busbarv1.GetRequestStatusRequest{RequestId: malformed}, grpc.Trailer(&trailer))
	if err == nil {
		return "", nil, errors.New("a call that must be rejected was accepted")
	}
	fields := []string{}
	for _, detail := range status.Convert(err).Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			for _, violation := range bad.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
		}
	}
	codes := trailer.Get("busbar-code")
	if len(codes) != 1 {
		return "", nil, err
	}
	return codes[0], fields, nil
}

func run(address, originator, target string) (*summary, error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-busbar-party", originator)
	p := party{busbarv1.NewInputGatewayClient(connection), busbarv1.NewOutputGatewayClient(connection)}

	first, err := p.submit(ctx, &busbarv1.ServiceRequest{
		RequestId:               &busbarv1.RequestId{Originator: originator, Target: target},
		ServiceReferenceVariant: "4.1.1",
		AssignCounter:           true,
	})
	if err != nil {
		return nil, err
	}
	id := first.GetRequestId()
	repeated, err := p.submit(ctx, &busbarv1.ServiceRequest{RequestId: id, ServiceReferenceVariant: "4.1.1"})
	if err != nil {
		return nil, err
	}
	answer, err := p.output.GetResponse(ctx, &busbarv1.GetResponseRequest{RequestId: id, WaitMs: 30_000})
	if err != nil {
		return nil, err
	}
	delivery := answer.GetDelivery()
	received, err := p.receive(ctx, delivery.GetDeliveryId())
	if err != nil {
		return nil, err
	}
	rejected, fields, err := p.rejection(ctx, originator)
	if err != nil {
		return nil, err
	}
	return &summary{
		Acknowledged: first.GetResponseCode(),
		Repeated:     repeated.GetResponseCode(),
		Counter:      strconv.FormatUint(id.GetCounter(), 10),
		Response:     delivery.GetResponse().GetResponseCode(),
		Readings:     len(delivery.GetResponse().GetBody().GetReadings()),
		Received:     proto.Equal(received, delivery),
		Rejected:     rejected,
		Fields:       fields,
	}, nil
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: go run . HOST:PORT PARTY DEVICE")
	}
	result, err := run(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	line, err := json.Marshal(result)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
