"""What the simulated provider is made to say, in the words of each API: two calls of tools and a text."""

import json


def anthropic(content: dict, number: int) -> str:
    """A streamed message with one block: a call of a tool, or a text."""
    if "name" in content:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": content["name"], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(content["input"])}
        reason = "tool_use"
    else:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": content["text"]}
        reason = "end_turn"
    message = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "simulated", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 100, "output_tokens": 1},
    }
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 20},
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def openai(content: dict, number: int) -> str:
    """The same as chunks of a chat completion."""
    if "name" in content:
        function = {"name": content["name"], "arguments": json.dumps(content["input"])}
        call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        delta, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    else:
        delta, reason = {"role": "assistant", "content": content["text"]}, "stop"
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": "simulated"}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    chunks = [
        head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        head | {"choices": [], "usage": usage},
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def gemini(content: dict, number: int) -> str:
    """The same as chunks of generated content."""
    if "name" in content:
        part = {"functionCall": {"id": f"call_{number}", "name": content["name"], "args": content["input"]}}
    else:
        part = {"text": content["text"]}
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "simulated", "responseId": f"r{number}"}
    return f"data: {json.dumps(chunk)}\r\n\r\n"


def windows(api, contents: list[dict], model: str) -> list[dict]:
    """The answers to the next requests for this model, one after the other; the first key that is asked is overloaded."""
    answers = [api(content, number) for number, content in enumerate(contents, 1)]
    overload = {"requests": 1, "models": [model], "fault": {"kind": "status", "status": 529}}
    return [overload] + [
        {
            "requests": 1,
            "models": [model],
            "fault": {
                "kind": "verbatim", "status": 200, "body": body,
                "headers": [["content-type", "text/event-stream"]],
            },
        }
        for body in answers
    ]
