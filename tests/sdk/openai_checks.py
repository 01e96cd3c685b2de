"""What the official OpenAI SDK must be able to do."""

import asyncio
import json
import time
import unittest

import openai
from simulator import PIXEL, SCHEMA

HELLO = [{"role": "user", "content": "Say hello."}]


class Checks(unittest.TestCase):
    """Holds for any server that serves the OpenAI API."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.openai()
        self.ask = {"model": self.endpoint.openai_model, "messages": HELLO}

    def test_a_plain_completion_has_text_and_usage(self):
        completion = self.client.chat.completions.create(**self.ask)
        self.assertEqual(completion.object, "chat.completion")
        self.assertEqual(completion.choices[0].finish_reason, "stop")
        self.assertTrue(completion.choices[0].message.content)
        usage = completion.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_a_stream_carries_no_usage_unless_asked(self):
        chunks = list(self.client.chat.completions.create(**self.ask, stream=True))
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        self.assertTrue(all(len(chunk.choices) == 1 for chunk in chunks))
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        self.assertTrue(text)

    def test_a_stream_ends_with_usage_when_asked(self):
        chunks = list(
            self.client.chat.completions.create(
                **self.ask, stream=True, stream_options={"include_usage": True}
            )
        )
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_the_stream_helper_gathers_the_whole_completion(self):
        with self.client.chat.completions.stream(**self.ask) as stream:
            completion = stream.get_final_completion()
        self.assertTrue(completion.choices[0].message.content)
        self.assertEqual(completion.choices[0].finish_reason, "stop")

    def test_a_plain_response_has_text_and_usage(self):
        response = self.client.responses.create(model=self.endpoint.openai_model, input="Hello.")
        self.assertEqual(response.status, "completed")
        self.assertTrue(response.output_text)
        self.assertGreater(response.usage.output_tokens, 0)

    def test_a_streamed_response_is_numbered_and_ends_complete(self):
        events = list(
            self.client.responses.create(
                model=self.endpoint.openai_model, input="Hello.", stream=True
            )
        )
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        self.assertEqual(events[0].type, "response.created")
        self.assertEqual(events[-1].type, "response.completed")
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        self.assertEqual("".join(deltas), events[-1].response.output_text)

    def test_the_response_stream_helper_gathers_the_whole_response(self):
        with self.client.responses.stream(
            model=self.endpoint.openai_model, input="Hello."
        ) as stream:
            response = stream.get_final_response()
        self.assertTrue(response.output_text)

    def test_texts_are_embedded_in_order(self):
        answer = self.client.embeddings.create(
            model=self.endpoint.embedding_model, input=["one", "two"]
        )
        self.assertEqual([entry.index for entry in answer.data], [0, 1])
        self.assertTrue(all(isinstance(x, float) for x in answer.data[0].embedding))
        self.assertNotEqual(answer.data[0].embedding, answer.data[1].embedding)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def test_models_are_listed(self):
        models = list(self.client.models.list())
        self.assertTrue(models)
        self.assertTrue(all(model.object == "model" and model.id for model in models))

    def test_a_wrong_key_is_an_authentication_error(self):
        client = self.endpoint.openai(key="sk-no-such-key")
        with self.assertRaises(openai.AuthenticationError):
            client.chat.completions.create(**self.ask)

    def test_a_request_without_messages_is_a_bad_request(self):
        with self.assertRaises(openai.BadRequestError):
            self.client.chat.completions.create(**{**self.ask, "messages": []})


PARAMETERS = {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False,
}


class ScriptedChecks(unittest.TestCase):
    """Holds for any server with a simulator behind it, or that is one."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.openai()
        self.model = self.endpoint.openai_model
        self.ask = {"model": self.model, "messages": HELLO}
        self.simulator = self.endpoint.simulator
        self.simulator.reset()
        self.addCleanup(self.simulator.reset)

    def call_the_tool(self, own, streamed):
        self.simulator.call_the_tool(self.endpoint.provider_api(self.model, own), streamed)

    def test_a_tool_is_called_and_its_result_goes_to_the_provider(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
        self.call_the_tool("chat", streamed=False)
        choice = self.client.chat.completions.create(**self.ask, tools=tools).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        call = choice.message.tool_calls[0]
        self.assertEqual(call.function.name, "weather")
        self.assertEqual(json.loads(call.function.arguments), {"city": "Rome"})
        result = {"role": "tool", "tool_call_id": call.id, "content": "It is 21 degrees."}
        after = self.client.chat.completions.create(
            model=self.model, tools=tools, messages=[*HELLO, choice.message, result]
        )
        self.assertEqual(after.choices[0].finish_reason, "stop")
        self.assertIn("It is 21 degrees.", self.simulator.last_body())
        self.assertIn(call.id, self.simulator.last_body())

    def test_a_streamed_call_is_put_together(self):
        # The helper of streams wants strict tools.
        function = {"name": "weather", "parameters": PARAMETERS, "strict": True}
        self.call_the_tool("chat", streamed=True)
        tools = [{"type": "function", "function": function}]
        with self.client.chat.completions.stream(**self.ask, tools=tools) as stream:
            completion = stream.get_final_completion()
        call = completion.choices[0].message.tool_calls[0]
        self.assertEqual(json.loads(call.function.arguments), {"city": "Rome"})

    def test_a_response_calls_a_tool_plain_and_streamed(self):
        tools = [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}]
        ask = {"model": self.model, "input": "Weather?", "tools": tools}
        self.call_the_tool("responses", streamed=False)
        plain = self.client.responses.create(**ask)
        self.call_the_tool("responses", streamed=True)
        with self.client.responses.stream(**ask) as stream:
            streamed = stream.get_final_response()
        for response in (plain, streamed):
            self.assertEqual(response.output[0].type, "function_call")
            self.assertEqual(json.loads(response.output[0].arguments), {"city": "Rome"})

    def test_a_picture_reaches_the_provider(self):
        url = {"url": f"data:image/png;base64,{PIXEL}"}
        content = [{"type": "image_url", "image_url": url}, {"type": "text", "text": "What is it?"}]
        messages = [{"role": "user", "content": content}]
        self.client.chat.completions.create(model=self.model, messages=messages)
        self.assertIn(PIXEL, self.simulator.last_body())

    def test_structured_output_is_asked_for_and_read(self):
        self.simulator.say('{"city": "Rome"}')
        schema = {"name": "place", "strict": True, "schema": PARAMETERS}
        completion = self.client.chat.completions.create(
            **self.ask, response_format={"type": "json_schema", "json_schema": schema}
        )
        self.assertEqual(json.loads(completion.choices[0].message.content), {"city": "Rome"})
        self.assertRegex(self.simulator.last_body(), SCHEMA)

    def test_the_provider_sees_a_client_leave_in_the_middle_of_a_stream(self):
        self.simulator.script({"fault": {"kind": "slow-events", "delayMs": 300}})
        with self.client.chat.completions.create(**self.ask, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
        self.assertTrue(self.simulator.saw_the_client_leave())

    def test_the_provider_sees_a_client_leave_before_an_answer(self):
        self.simulator.script({"fault": {"kind": "slow-head", "delayMs": 20000}})

        async def ask():
            async with self.endpoint.openai(asynchronous=True) as client:
                await asyncio.wait_for(client.responses.create(model=self.model, input="Hello."), 0.5)

        with self.assertRaises(asyncio.TimeoutError):
            asyncio.run(ask())
        self.assertTrue(self.simulator.saw_the_client_leave())


class GatewayChecks(unittest.TestCase):
    """Holds for a gateway before a simulator that is told to fail."""

    endpoint = None

    def setUp(self):
        # One try: what is cured is cured by the gateway.
        self.client = self.endpoint.openai()
        self.ask = {"model": self.endpoint.openai_model, "messages": HELLO}
        self.simulator = self.endpoint.simulator
        self.addCleanup(self.simulator.reset)

    def test_a_limit_that_passes_soon_is_waited_for(self):
        self.simulator.script({"requests": 2, "fault": {"kind": "rate-limited", "retryAfter": "1"}})
        started = time.monotonic()
        self.assertTrue(self.client.chat.completions.create(**self.ask).choices)
        self.assertGreaterEqual(time.monotonic() - started, 0.9)

    def test_a_broken_connection_is_cured_by_another_key(self):
        self.simulator.script({"requests": 1, "fault": {"kind": "reset-before-head"}})
        self.assertTrue(self.client.chat.completions.create(**self.ask).choices)

    def test_a_wrong_key_is_not_tried_again(self):
        client = self.endpoint.openai(key="sk-no-such-key", retries=2)
        with self.assertRaises(openai.AuthenticationError) as caught:
            client.chat.completions.create(**self.ask)
        self.assertEqual(caught.exception.response.headers["x-should-retry"], "false")


class FaultChecks(unittest.TestCase):
    """Holds for a simulator that is asked directly and told to fail."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.openai()
        self.ask = {"model": self.endpoint.openai_model, "messages": HELLO}
        self.addCleanup(self.script)

    def script(self, *windows):
        self.endpoint.simulator.script(*windows)

    def raised(self, fault):
        self.script({"fault": fault})
        with self.assertRaises(openai.APIStatusError) as caught:
            self.client.chat.completions.create(**self.ask)
        return caught.exception

    def test_each_status_raises_its_own_class(self):
        cases = {
            401: openai.AuthenticationError,
            403: openai.PermissionDeniedError,
            404: openai.NotFoundError,
            429: openai.RateLimitError,
            500: openai.InternalServerError,
            503: openai.InternalServerError,
        }
        for status, expected in cases.items():
            with self.subTest(status=status):
                error = self.raised({"kind": "status", "status": status})
                self.assertIs(type(error), expected)

    def test_an_empty_purse_is_told_by_its_code(self):
        error = self.raised({"kind": "rate-limited", "code": "insufficient_quota"})
        self.assertIsInstance(error, openai.RateLimitError)
        self.assertEqual(error.code, "insufficient_quota")
        self.assertNotIn("retry-after", error.response.headers)
        self.assertTrue(error.request_id.startswith("req_"))

    def test_the_sdk_waits_as_told_and_tries_again(self):
        self.script({"requests": 1, "fault": {"kind": "rate-limited", "retryAfter": "1"}})
        started = time.monotonic()
        completion = self.endpoint.openai(retries=2).chat.completions.create(**self.ask)
        self.assertEqual(completion.object, "chat.completion")
        self.assertGreaterEqual(time.monotonic() - started, 1.0)

    def test_what_shall_not_be_tried_again_is_not(self):
        fault = {"kind": "verbatim", "status": 429, "headers": [["x-should-retry", "false"]], "body": "{}"}
        self.script({"requests": 1, "fault": fault})
        with self.assertRaises(openai.RateLimitError):
            self.endpoint.openai(retries=2).chat.completions.create(**self.ask)

    def test_an_error_event_breaks_the_stream(self):
        for events in (0, 3):
            with self.subTest(events=events):
                self.script({"fault": {"kind": "stream-error", "afterEvents": events}})
                with self.assertRaises(openai.APIError):
                    list(self.client.chat.completions.create(**self.ask, stream=True))

    def test_a_reset_connection_is_a_connection_error(self):
        self.script({"fault": {"kind": "reset-before-head"}})
        with self.assertRaises(openai.APIConnectionError):
            self.client.chat.completions.create(**self.ask)
