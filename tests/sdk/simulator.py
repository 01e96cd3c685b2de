"""The simulator behind, or at, the server that is asked: it is told what to answer and asked what it saw."""

import json
import time
import urllib.request
from pathlib import Path

# A picture of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
# How the APIs name the schema of an answer.
SCHEMA = r'(?s)"(json_schema|responseJsonSchema|responseSchema)".*"city"'
_CALLS = json.loads((Path(__file__).parent / "tool_call.json").read_text())


class Simulator:
    """Its control, by its own address."""

    def __init__(self, url: str):
        self.url = f"{url}/__sim"

    def _post(self, command: str, body: dict) -> None:
        data = json.dumps(body).encode()
        urllib.request.urlopen(f"{self.url}/{command}", data=data).close()

    def _get(self, what: str):
        with urllib.request.urlopen(f"{self.url}/{what}") as answer:
            return json.load(answer)

    def script(self, *windows: dict) -> None:
        """Replaces the faults of all keys."""
        self._post("faults", {"faults": list(windows)})

    def say(self, text: str) -> None:
        """The text of all answers from now on."""
        self._post("answer", {"text": text})

    def reset(self) -> None:
        """Forgets everything that was told and counted."""
        self.script()
        self._post("answer", {})
        self._post("reset", {})

    def last_body(self) -> str:
        """The latest body that reached the provider."""
        return [request["body"] for request in self._get("requests") if request["method"] == "POST"][-1]

    def saw_the_client_leave(self) -> bool:
        """Whether an answer was given up, waiting for it for a while."""
        for _ in range(200):
            if any(key["cancelled"] for key in self._get("counters")["keys"].values()):
                return True
            time.sleep(0.05)
        return False

    def call_the_tool(self, api: str, streamed: bool) -> None:
        """The next answer is a call of the tool `weather` for Rome."""
        call = _CALLS[api]
        body = _stream(api, call["events"]) if streamed else json.dumps(call["plain"])
        kind = "text/event-stream" if streamed else "application/json"
        fault = {"kind": "verbatim", "status": 200, "headers": [["content-type", kind]], "body": body}
        self.script({"requests": 1, "fault": fault})


def _stream(api: str, events: list[dict]) -> str:
    if api == "gemini":
        return "".join(f"data: {json.dumps(event)}\r\n\r\n" for event in events)
    if api == "chat":
        return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
