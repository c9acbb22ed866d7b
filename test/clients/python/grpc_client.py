"""A party of Busbar over gRPC, with stubs that grpcio-tools generates from the published proto files.

python3 grpc_client.py HOST:PORT PARTY DEVICE PROTO_DIRECTORY

The same story as http_client.py, with the response received on the stream. Prints one line of JSON.
"""

import importlib
import json
import os
import queue
import sys
import tempfile
import threading

import grpc
from google.protobuf import any_pb2
from grpc_tools import protoc

CALL_SECONDS = 60


def generate(protos, out):
    """Stubs of all proto files in the folder `out`, which is on the path from then on."""
    folder = os.path.join(protos, "busbar", "v1")
    files = sorted(
        os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".proto")
    )
    include = os.path.join(os.path.dirname(protoc.__file__), "_proto")
    options = ["-I" + protos, "-I" + include, "--python_out=" + out, "--grpc_python_out=" + out]
    if protoc.main(["protoc"] + options + files) != 0:
        raise SystemExit("protoc failed")
    sys.path.insert(0, out)


def varint(octets, at):
    value = shift = 0
    while True:
        octet = octets[at]
        at += 1
        value |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            return value, at


def members(octets):
    """Fields of a message that have a length, by number: google.rpc needs no package of its own so."""
    at = 0
    while at < len(octets):
        tag, at = varint(octets, at)
        value, at = varint(octets, at)
        if tag & 7 == 2:
            yield tag >> 3, octets[at : at + value]
            at += value


def violated_fields(error):
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    for number, octets in members(details):
        detail = any_pb2.Any()
        if number == 3:
            detail.ParseFromString(octets)
        if detail.type_url.endswith("/google.rpc.BadRequest"):
            return [dict(members(one))[1].decode() for _, one in members(detail.value)]
    return []


def main(address, party, device, protos):
    with tempfile.TemporaryDirectory(prefix="busbar-python-") as out:
        generate(protos, out)
        load = importlib.import_module
        requests = load("busbar.v1.service_request_pb2")
        inputs = load("busbar.v1.input_gateway_pb2")
        outputs = load("busbar.v1.output_gateway_pb2")
        input_stub = load("busbar.v1.input_gateway_pb2_grpc").InputGatewayStub
        output_stub = load("busbar.v1.output_gateway_pb2_grpc").OutputGatewayStub
    metadata = (("x-busbar-party", party),)
    options = {"metadata": metadata, "timeout": CALL_SECONDS}
    with grpc.insecure_channel(address) as channel:
        gateway, deliveries = input_stub(channel), output_stub(channel)

        def submit(**fields):
            request = requests.ServiceRequest(service_reference_variant="4.1.1", **fields)
            return gateway.Submit(inputs.SubmitRequest(request=request), **options).acknowledgement

        request_id = requests.RequestId(originator=party, target=device)
        first = submit(request_id=request_id, assign_counter=True)
        request_id = first.request_id
        repeated = submit(request_id=request_id)
        answer = deliveries.GetResponse(
            outputs.GetResponseRequest(request_id=request_id, wait_ms=30_000), **options
        ).delivery

        steps = queue.Queue()
        steps.put(outputs.ReceiveRequest(open_receiver=outputs.OpenReceiver(credit=100)))
        stream = deliveries.Receive(iter(steps.get, None), metadata=metadata)
        watchdog = threading.Timer(CALL_SECONDS, stream.cancel)
        watchdog.start()
        received = None
        while received is None:
            for delivery in next(stream).deliveries:
                if delivery.delivery_id == answer.delivery_id:
                    received = delivery
                acknowledged = outputs.AcknowledgeDeliveries(delivery_id=delivery.delivery_id)
                steps.put(outputs.ReceiveRequest(acknowledge=acknowledged))
        # The stream is half-closed, and ends when the last acknowledgement is on disk.
        steps.put(None)
        for _ in stream:
            pass
        watchdog.cancel()

        rejected = fields = None
        try:
            malformed = requests.RequestId(originator=party, target="nobody", counter=1)
            gateway.GetRequestStatus(
                inputs.GetRequestStatusRequest(request_id=malformed), **options
            )
        except grpc.RpcError as error:
            rejected = dict(error.trailing_metadata())["busbar-code"]
            fields = violated_fields(error)
    print(
        json.dumps(
            {
                "acknowledged": first.response_code,
                "repeated": repeated.response_code,
                "counter": str(request_id.counter),
                "response": answer.response.response_code,
                "readings": len(answer.response.body.readings),
                "received": received == answer,
                "rejected": rejected,
                "fields": fields,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
