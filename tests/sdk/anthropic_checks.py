"""What the official Anthropic SDK must be able to do."""

import time
import unittest

import anthropic

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
        self.endpoint.script(self.endpoint.anthropic_key, *windows)

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
