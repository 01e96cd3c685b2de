"""What the official Google Gen AI SDK must be able to do."""

import struct
import unittest
import zlib

from google.genai import errors, types

HELLO = "Say hello."
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather in a city.",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        )
    ]
)


def picture() -> bytes:
    """A PNG of one red pixel."""

    def part(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", pixels) + part(b"IEND", b"")


class Checks(unittest.TestCase):
    """Holds for any server that serves Gemini's API."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.gemini()
        self.addCleanup(self.client.close)
        self.model = self.endpoint.gemini_model

    def ask(self, contents=HELLO, **config):
        return self.client.models.generate_content(
            model=self.model, contents=contents, config=config or None
        )

    def check_answer(self, answer):
        self.assertTrue(answer.text)
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.STOP)
        usage = answer.usage_metadata
        self.assertGreater(usage.prompt_token_count, 0)
        self.assertGreater(usage.candidates_token_count, 0)

    def test_a_plain_answer_has_text_and_usage(self):
        self.check_answer(self.ask())

    def test_a_stream_comes_in_chunks_and_ends_with_a_reason_and_usage(self):
        chunks = list(
            self.client.models.generate_content_stream(model=self.model, contents=HELLO)
        )
        self.assertGreater(len(chunks), 2)
        self.assertTrue("".join(chunk.text or "" for chunk in chunks))
        last = chunks[-1]
        self.assertEqual(last.candidates[0].finish_reason, types.FinishReason.STOP)
        self.assertGreater(last.usage_metadata.candidates_token_count, 0)

    def test_a_bound_cuts_the_answer(self):
        answer = self.ask(max_output_tokens=3)
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)

    def test_a_conversation_with_instructions_goes_on(self):
        chat = self.client.chats.create(
            model=self.model, config={"system_instruction": "Be brief.", "temperature": 0.5}
        )
        self.check_answer(chat.send_message(HELLO))
        self.check_answer(chat.send_message("And again."))

    def test_tools_can_be_offered_and_their_results_brought_back(self):
        call = types.Part.from_function_call(name="weather", args={"city": "Rome"})
        result = types.Part.from_function_response(name="weather", response={"output": "Sunny."})
        contents = [
            types.Content(role="user", parts=[types.Part.from_text(text="Is it warm in Rome?")]),
            types.Content(role="model", parts=[call]),
            types.Content(role="user", parts=[result]),
        ]
        self.check_answer(self.ask(contents, tools=[WEATHER]))

    def test_pictures_can_be_shown(self):
        image = types.Part.from_bytes(data=picture(), mime_type="image/png")
        self.check_answer(self.ask([image, "What is it?"]))

    def test_an_answer_can_be_held_to_a_schema(self):
        schema = {"type": "object", "properties": {"greeting": {"type": "string"}}}
        answer = self.ask(response_mime_type="application/json", response_json_schema=schema)
        self.assertTrue(answer.text)

    def test_tokens_are_counted_without_a_model_run(self):
        counted = self.client.models.count_tokens(model=self.model, contents=HELLO)
        self.assertGreater(counted.total_tokens, 0)

    def test_texts_are_embedded_in_order(self):
        answer = self.client.models.embed_content(
            model=self.endpoint.gemini_embedding_model, contents=["one", "two"]
        )
        first, second = [embedding.values for embedding in answer.embeddings]
        self.assertTrue(all(isinstance(x, float) for x in first))
        self.assertNotEqual(first, second)

    def test_a_wrong_key_is_a_client_error(self):
        with self.endpoint.gemini(key="AIza-no-such-key") as client:
            with self.assertRaises(errors.ClientError) as caught:
                client.models.generate_content(model=self.model, contents=HELLO)
        self.assertIn(caught.exception.code, (400, 401))

    def test_a_request_without_contents_is_refused_with_its_reason(self):
        with self.assertRaises(errors.ClientError) as caught:
            self.ask([types.Content(role="user", parts=[])], max_output_tokens=-1)
        self.assertEqual(caught.exception.code, 400)
        self.assertTrue(caught.exception.message)


class FaultChecks(unittest.TestCase):
    """Holds for a simulator that is asked directly and told to fail."""

    endpoint = None

    def setUp(self):
        self.client = self.endpoint.gemini()
        self.addCleanup(self.client.close)
        self.addCleanup(self.script)

    def script(self, *windows):
        self.endpoint.simulator.script(*windows)

    def ask(self):
        model = self.endpoint.gemini_model
        return self.client.models.generate_content(model=model, contents=HELLO)

    def stream(self):
        model = self.endpoint.gemini_model
        return list(self.client.models.generate_content_stream(model=model, contents=HELLO))

    def test_each_status_raises_its_own_class_with_googles_name_for_it(self):
        cases = {
            400: (errors.ClientError, "INVALID_ARGUMENT"),
            403: (errors.ClientError, "PERMISSION_DENIED"),
            404: (errors.ClientError, "NOT_FOUND"),
            429: (errors.ClientError, "RESOURCE_EXHAUSTED"),
            500: (errors.ServerError, "INTERNAL"),
            503: (errors.ServerError, "UNAVAILABLE"),
        }
        for status, (expected, name) in cases.items():
            with self.subTest(status=status):
                self.script({"fault": {"kind": "status", "status": status}})
                with self.assertRaises(expected) as caught:
                    self.ask()
                self.assertEqual(caught.exception.code, status)
                self.assertEqual(caught.exception.status, name)

    def test_an_error_event_breaks_the_stream(self):
        for events in (0, 3):
            with self.subTest(events=events):
                self.script({"fault": {"kind": "stream-error", "afterEvents": events}})
                with self.assertRaises(errors.ServerError):
                    self.stream()

    def test_blank_lines_before_the_first_event_are_passed_over(self):
        chunk = '{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}'
        body = f"\r\n\r\ndata: {chunk}\r\n\r\n"
        headers = [["content-type", "text/event-stream"]]
        fault = {"kind": "verbatim", "status": 200, "headers": headers, "body": body}
        self.script({"fault": fault})
        self.assertEqual([chunk.text for chunk in self.stream()], ["Hi"])
