"""What the official Anthropic SDK must be able to do."""

import asyncio
import json
import time
import unittest

import anthropic
from simulator import PIXEL, SCHEMA

HELLO = [{"role": "user", "content": "Say hello."}]


class Checks(unittest.TestCase):
    """Holds for any server that serves the Messages API."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.anthropic()
        self.ask = {
            "model": self.endpoint.anthropic_model,
            "max_tokens": 64,
            "messages": HELLO,
        }

    def test_a_plain_message_has_text_and_usage(self):
        message = self.client.messages.create(**self.ask)
        self.assertEqual(message.type, "message")
        self.assertEqual(message.role, "assistant")
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertTrue(message.content[0].text)
        self.assertGreater(message.usage.input_tokens, 0)
        self.assertGreater(message.usage.output_tokens, 0)

    def test_max_tokens_cuts_the_answer(self):
        message = self.client.messages.create(**{**self.ask, "max_tokens": 3})
        self.assertEqual(message.stop_reason, "max_tokens")
        self.assertEqual(message.usage.output_tokens, 3)

    def test_a_raw_stream_has_its_events_in_order(self):
        events = list(self.client.messages.create(**self.ask, stream=True))
        kinds = [event.type for event in events if event.type != "ping"]
        self.assertEqual(kinds[:2], ["message_start", "content_block_start"])
        self.assertEqual(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
        self.assertEqual(set(kinds[2:-3]), {"content_block_delta"})

    def test_the_stream_helper_gathers_the_whole_message(self):
        with self.client.messages.stream(**self.ask) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
        self.assertEqual(message.content[0].text, text)
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertGreater(message.usage.output_tokens, 1)

    def test_tokens_are_counted_without_a_model_run(self):
        count = self.client.messages.count_tokens(
            model=self.endpoint.anthropic_model, messages=HELLO
        )
        self.assertGreater(count.input_tokens, 0)

    def test_models_are_listed(self):
        models = list(self.client.models.list())
        self.assertTrue(models)
        self.assertTrue(all(model.type == "model" and model.id for model in models))

    def test_a_wrong_key_is_an_authentication_error(self):
        client = self.endpoint.anthropic(key="sk-ant-no-such-key")
        with self.assertRaises(anthropic.AuthenticationError) as caught:
            client.messages.create(**self.ask)
        self.assertEqual(caught.exception.status_code, 401)

    def test_a_request_without_messages_is_a_bad_request(self):
        with self.assertRaises(anthropic.BadRequestError):
            self.client.messages.create(**{**self.ask, "messages": []})


class ScriptedChecks(unittest.TestCase):
    """Holds for any server with a simulator behind it, or that is one."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.anthropic()
        self.model = self.endpoint.anthropic_model
        self.ask = {"model": self.model, "max_tokens": 64, "messages": HELLO}
        self.simulator = self.endpoint.simulator
        self.simulator.reset()
        self.addCleanup(self.simulator.reset)

    def call_the_tool(self, streamed):
        self.simulator.call_the_tool(self.endpoint.provider_api(self.model, "messages"), streamed)
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        return {**self.ask, "tools": [{"name": "weather", "input_schema": schema}]}

    def test_a_tool_is_called_and_its_result_goes_to_the_provider(self):
        ask = self.call_the_tool(streamed=False)
        message = self.client.messages.create(**ask)
        self.assertEqual(message.stop_reason, "tool_use")
        call = message.content[0]
        self.assertEqual((call.name, call.input), ("weather", {"city": "Rome"}))
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "It is 21 degrees."}
        ask["messages"] = [
            *HELLO,
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result]},
        ]
        self.assertEqual(self.client.messages.create(**ask).stop_reason, "end_turn")
        self.assertIn("It is 21 degrees.", self.simulator.last_body())
        self.assertIn(call.id, self.simulator.last_body())

    def test_a_streamed_call_is_put_together(self):
        with self.client.messages.stream(**self.call_the_tool(streamed=True)) as stream:
            message = stream.get_final_message()
        self.assertEqual(message.stop_reason, "tool_use")
        self.assertEqual(message.content[0].input, {"city": "Rome"})

    def test_a_picture_reaches_the_provider(self):
        source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
        content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
        self.client.messages.create(**{**self.ask, "messages": [{"role": "user", "content": content}]})
        self.assertIn(PIXEL, self.simulator.last_body())

    def test_structured_output_is_asked_for_and_read(self):
        self.simulator.say('{"city": "Rome"}')
        schema = {
            "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
            "additionalProperties": False,
        }
        config = {"format": {"type": "json_schema", "schema": schema}}
        message = self.client.messages.create(**self.ask, output_config=config)
        self.assertEqual(json.loads(message.content[0].text), {"city": "Rome"})
        self.assertRegex(self.simulator.last_body(), SCHEMA)

    def test_the_provider_sees_a_client_leave_in_the_middle_of_a_stream(self):
        self.simulator.script({"fault": {"kind": "slow-events", "delayMs": 300}})
        with self.client.messages.stream(**self.ask) as stream:
            next(iter(stream.text_stream))
        self.assertTrue(self.simulator.saw_the_client_leave())

    def test_the_provider_sees_a_client_leave_before_an_answer(self):
        self.simulator.script({"fault": {"kind": "slow-head", "delayMs": 20000}})

        async def ask():
            async with self.endpoint.anthropic(asynchronous=True) as client:
                await asyncio.wait_for(client.messages.create(**self.ask), 0.5)

        with self.assertRaises(asyncio.TimeoutError):
            asyncio.run(ask())
        self.assertTrue(self.simulator.saw_the_client_leave())


class GatewayChecks(unittest.TestCase):
    """Holds for a gateway before a simulator that is told to fail."""

    endpoint = None

    def setUp(self):
        # One try: what is cured is cured by the gateway.
        self.client = self.endpoint.anthropic()
        self.ask = {"model": self.endpoint.anthropic_model, "max_tokens": 64, "messages": HELLO}
        self.simulator = self.endpoint.simulator
        self.addCleanup(self.simulator.reset)

    def test_a_limit_that_passes_soon_is_waited_for(self):
        self.simulator.script({"requests": 2, "fault": {"kind": "rate-limited", "retryAfter": "1"}})
        started = time.monotonic()
        self.assertEqual(self.client.messages.create(**self.ask).type, "message")
        self.assertGreaterEqual(time.monotonic() - started, 0.9)

    def test_a_broken_connection_is_cured_by_another_key(self):
        self.simulator.script({"requests": 1, "fault": {"kind": "reset-before-head"}})
        self.assertEqual(self.client.messages.create(**self.ask).type, "message")

    def test_a_wrong_key_is_not_tried_again(self):
        client = self.endpoint.anthropic(key="sk-ant-no-such-key", retries=2)
        with self.assertRaises(anthropic.AuthenticationError) as caught:
            client.messages.create(**self.ask)
        self.assertEqual(caught.exception.response.headers["x-should-retry"], "false")


class FaultChecks(unittest.TestCase):
    """Holds for a simulator that is asked directly and told to fail."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.anthropic()
        self.ask = {
            "model": self.endpoint.anthropic_model,
            "max_tokens": 64,
            "messages": HELLO,
        }
        self.addCleanup(self.script)

    def script(self, *windows):
        self.endpoint.simulator.script(*windows)

    def raised(self, fault):
        self.script({"fault": fault})
        with self.assertRaises(anthropic.APIStatusError) as caught:
            self.client.messages.create(**self.ask)
        return caught.exception

    def test_each_status_raises_its_own_class(self):
        cases = {
            401: anthropic.AuthenticationError,
            403: anthropic.PermissionDeniedError,
            404: anthropic.NotFoundError,
            429: anthropic.RateLimitError,
            500: anthropic.InternalServerError,
            503: anthropic.ServiceUnavailableError,
            529: anthropic.OverloadedError,
        }
        for status, expected in cases.items():
            with self.subTest(status=status):
                error = self.raised({"kind": "status", "status": status})
                self.assertIs(type(error), expected)

    def test_a_rate_limit_names_its_wait_and_its_reason(self):
        error = self.raised(
            {"kind": "rate-limited", "retryAfter": "7", "code": "ramp_limit_exceeded"}
        )
        self.assertEqual(error.response.headers["retry-after"], "7")
        self.assertIsInstance(error, anthropic.RateLimitError)
        self.assertEqual(error.body["error"]["details"]["error_code"], "ramp_limit_exceeded")
        self.assertTrue(error.request_id.startswith("req_"))

    def test_the_sdk_waits_as_told_and_tries_again(self):
        self.script({"requests": 1, "fault": {"kind": "rate-limited", "retryAfter": "1"}})
        started = time.monotonic()
        message = self.endpoint.anthropic(retries=2).messages.create(**self.ask)
        self.assertEqual(message.type, "message")
        self.assertGreaterEqual(time.monotonic() - started, 1.0)

    def test_what_shall_not_be_tried_again_is_not(self):
        fault = {"kind": "verbatim", "status": 429, "headers": [["x-should-retry", "false"]], "body": "{}"}
        self.script({"requests": 1, "fault": fault})
        with self.assertRaises(anthropic.RateLimitError):
            self.endpoint.anthropic(retries=2).messages.create(**self.ask)

    def test_an_error_event_breaks_the_stream(self):
        for events in (0, 5):
            with self.subTest(events=events):
                self.script({"fault": {"kind": "stream-error", "afterEvents": events}})
                with self.assertRaises(anthropic.APIStatusError) as caught:
                    list(self.client.messages.create(**self.ask, stream=True))
                self.assertIn("overloaded_error", str(caught.exception))

    def test_a_reset_connection_is_a_connection_error(self):
        self.script({"fault": {"kind": "reset-before-head"}})
        with self.assertRaises(anthropic.APIConnectionError):
            self.client.messages.create(**self.ask)

    def test_a_reset_mid_stream_is_noticed(self):
        self.script({"fault": {"kind": "reset-mid-stream", "afterEvents": 4}})
        with self.assertRaises(Exception) as caught:
            list(self.client.messages.create(**self.ask, stream=True))
        self.assertNotIsInstance(caught.exception, AssertionError)
