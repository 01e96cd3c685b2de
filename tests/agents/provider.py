"""What the simulated provider is made to say, in the words of each API: calls of tools and a text."""

import json

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def events(events: list[dict]) -> str:
    """Events with their names."""
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)


def messages(content: dict, number: int, streamed: bool) -> str:
    """A message with one block: a call of a tool, or a text."""
    if "name" in content:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": content["name"]}
        begun, whole = block | {"input": {}}, block | {"input": content["input"]}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(content["input"])}
        reason = "tool_use"
    else:
        begun, whole = {"type": "text", "text": ""}, {"type": "text", "text": content["text"]}
        delta = {"type": "text_delta", "text": content["text"]}
        reason = "end_turn"
    message = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "simulated", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 100, "output_tokens": 1},
    }
    usage = {"input_tokens": 100, "output_tokens": 20}
    if not streamed:
        return json.dumps(message | {"content": [whole], "stop_reason": reason, "usage": usage})
    return events([
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": begun},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ])


def chat(content: dict, number: int, streamed: bool) -> str:
    """The same as a chat completion."""
    if "name" in content:
        function = {"name": content["name"], "arguments": json.dumps(content["input"])}
        call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": content["text"]}, "stop"
    head = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "simulated"}
    if not streamed:
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return json.dumps(head | {"choices": [choice], "usage": USAGE})
    head["object"] = "chat.completion.chunk"
    chunks = [
        head | {"choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        head | {"choices": [], "usage": USAGE},
    ]
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def responses(content: dict, number: int, streamed: bool) -> str:
    """The same as a response with one item."""
    if "name" in content:
        arguments = json.dumps(content["input"])
        item = {
            "id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": f"call_{number}",
            "name": content["name"], "arguments": arguments,
        }
        begun = item | {"status": "in_progress", "arguments": ""}
        place = {"item_id": item["id"], "output_index": 0}
        middle = [
            {"type": "response.function_call_arguments.delta", "delta": arguments} | place,
            {"type": "response.function_call_arguments.done", "arguments": arguments} | place,
        ]
    else:
        part = {"type": "output_text", "text": content["text"], "annotations": []}
        item = {
            "id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [part],
        }
        begun = item | {"status": "in_progress", "content": []}
        place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        middle = [
            {"type": "response.content_part.added", "part": part | {"text": ""}} | place,
            {"type": "response.output_text.delta", "delta": content["text"]} | place,
            {"type": "response.output_text.done", "text": content["text"]} | place,
            {"type": "response.content_part.done", "part": part} | place,
        ]
    usage = {
        "input_tokens": 100, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 120,
    }
    response = {
        "id": f"resp_{number}", "object": "response", "created_at": 1, "model": "simulated", "status": "completed",
        "error": None, "incomplete_details": None, "output": [item], "usage": usage,
    }
    if not streamed:
        return json.dumps(response)
    in_progress = response | {"status": "in_progress", "output": [], "usage": None}
    all_events = [
        {"type": "response.created", "response": in_progress},
        {"type": "response.in_progress", "response": in_progress},
        {"type": "response.output_item.added", "output_index": 0, "item": begun},
        *middle,
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]
    return events([event | {"sequence_number": at} for at, event in enumerate(all_events)])


def generate_content(content: dict, number: int, streamed: bool) -> str:
    """The same as generated content, a stream of it in one chunk."""
    if "name" in content:
        part = {"functionCall": {"id": f"call_{number}", "name": content["name"], "args": content["input"]}}
    else:
        part = {"text": content["text"]}
    candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "simulated", "responseId": f"r{number}"}
    return f"data: {json.dumps(chunk)}\r\n\r\n" if streamed else json.dumps(chunk)


APIS = {"messages": messages, "chat": chat, "responses": responses, "generate_content": generate_content}


def windows(api: str, contents: list[dict], model: str, streamed: bool) -> list[dict]:
    """The answers to the next requests for this model, one after the other; the first key that is asked is overloaded."""
    answers = [APIS[api](content, number, streamed) for number, content in enumerate(contents, 1)]
    content_type = "text/event-stream" if streamed else "application/json"
    overload = {"requests": 1, "models": [model], "fault": {"kind": "status", "status": 529}}
    return [overload] + [
        {
            "requests": 1,
            "models": [model],
            "fault": {"kind": "verbatim", "status": 200, "body": body, "headers": [["content-type", content_type]]},
        }
        for body in answers
    ]
