"""A party of Busbar over HTTP, with nothing but Python's standard library.

python3 http_client.py HOST:PORT PARTY DEVICE

Submits 4.1.1 to DEVICE with a counter that the gateway assigns, repeats the request, reads its response, receives it as a
delivery and acknowledges that. Prints one line of JSON.
"""

import json
import sys
import time
import urllib.error
import urllib.request

CALL_SECONDS = 60


class Rejected(Exception):
    """A call that was rejected: decide by `code`, show `message` to people."""

    def __init__(self, status, error):
        super().__init__(error["message"])
        self.status = status
        self.code = error["code"]
        self.retry_after_ms = error.get("retryAfterMs", 0)
        self.violations = error.get("violations", [])


class Busbar:
    def __init__(self, address, party):
        self.url = "http://" + address
        self.party = party

    def call(self, method, path, body=None):
        headers = {"x-busbar-party": self.party}
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body).encode("utf-8")
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as fault:
            raise Rejected(fault.code, json.load(fault)) from None

    def insist(self, method, path, body=None):
        """Repeats the call for as long as the gateway says when to repeat it."""
        end = time.monotonic() + CALL_SECONDS
        while True:
            try:
                return self.call(method, path, body)
            except Rejected as rejected:
                if rejected.retry_after_ms == 0 or time.monotonic() > end:
                    raise
                time.sleep(rejected.retry_after_ms / 1000)

    def submit(self, request):
        return self.insist("POST", "/v1/service-requests", request)

    def response(self, request_id):
        path = "{originator}:{target}:{counter}".format(**request_id)
        answer = self.insist("GET", "/v1/service-requests/%s/response?waitMs=10000" % path)
        return answer["delivery"]

    def deliveries(self):
        return self.call("GET", "/v1/deliveries?waitMs=10000&onlyIfFree=true").get("deliveries", [])

    def acknowledge(self, delivery_id):
        return self.insist(
            "POST", "/v1/deliveries/acknowledgements", {"deliveryId": delivery_id}
        )


def rejection(call):
    try:
        call()
    except Rejected as rejected:
        return rejected
    raise SystemExit("a call that must be rejected was accepted")


def main(address, party, device):
    busbar = Busbar(address, party)
    request_id = {"originator": party, "target": device}
    first = busbar.submit(
        {"requestId": request_id, "serviceReferenceVariant": "4.1.1", "assignCounter": True}
    )
    request_id = first["requestId"]
    repeated = busbar.submit({"requestId": request_id, "serviceReferenceVariant": "4.1.1"})
    response = busbar.response(request_id)
    received = None
    end = time.monotonic() + CALL_SECONDS
    while received is None and time.monotonic() < end:
        for delivery in busbar.deliveries():
            if delivery["deliveryId"] == response["deliveryId"]:
                received = delivery
            busbar.acknowledge(delivery["deliveryId"])
    malformed = rejection(
        lambda: busbar.submit({"requestId": {**request_id, "target": "nobody"}})
    )
    print(
        json.dumps(
            {
                "acknowledged": first["responseCode"],
                "repeated": repeated["responseCode"],
                "counter": request_id["counter"],
                "response": response["response"]["responseCode"],
                "readings": len(response["response"]["body"]["readings"]),
                "received": received == response,
                "rejected": malformed.code,
                "fields": [one["field"] for one in malformed.violations],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
