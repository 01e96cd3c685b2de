"""What the official OpenAI SDK must be able to do."""

import time
import unittest

import openai

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


class FaultChecks(unittest.TestCase):
    """Holds for a simulator that is asked directly and told to fail."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.openai()
        self.ask = {"model": self.endpoint.openai_model, "messages": HELLO}
        self.addCleanup(self.script)

    def script(self, *windows):
        self.endpoint.script(self.endpoint.openai_key, *windows)

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
