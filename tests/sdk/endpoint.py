"""Where the checks send their requests, and as whom: arguments, or the environment."""

import argparse
import os
from dataclasses import dataclass

import anthropic
import openai
from google import genai
from simulator import Simulator


@dataclass(frozen=True)
class Endpoint:
    """One server that speaks all APIs."""

    anthropic_url: str
    openai_url: str
    gemini_url: str
    anthropic_key: str
    openai_key: str
    gemini_key: str
    anthropic_model: str
    openai_model: str
    gemini_model: str
    embedding_model: str
    gemini_embedding_model: str
    # The address of a simulator that is checked, or stands behind the gateway that is.
    control_url: str | None
    # Whether a gateway is checked.
    gateway: bool

    def anthropic(
        self, key: str | None = None, retries: int = 0, asynchronous: bool = False
    ) -> anthropic.Anthropic | anthropic.AsyncAnthropic:
        """A client of the Messages API."""
        kind = anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic
        return kind(
            api_key=key or self.anthropic_key, base_url=self.anthropic_url, max_retries=retries
        )

    def openai(
        self, key: str | None = None, retries: int = 0, asynchronous: bool = False
    ) -> openai.OpenAI | openai.AsyncOpenAI:
        """A client of the OpenAI API."""
        kind = openai.AsyncOpenAI if asynchronous else openai.OpenAI
        return kind(
            api_key=key or self.openai_key, base_url=self.openai_url, max_retries=retries
        )

    def gemini(self, key: str | None = None) -> genai.Client:
        """A client of Gemini's API; it tries nothing again by itself."""
        return genai.Client(
            api_key=key or self.gemini_key,
            vertexai=False,
            http_options=genai.types.HttpOptions(base_url=self.gemini_url),
        )

    @property
    def simulator(self) -> Simulator:
        """The simulator's control."""
        return Simulator(self.control_url)

    def provider_api(self, model: str, own: str) -> str:
        """The API in which the provider of a model is asked by a client of the same or another."""
        if model.startswith("anthropic,"):
            return "messages"
        if model.startswith("gemini,"):
            return "gemini"
        return "chat" if model.startswith("openai,") and own != "responses" else own


def parse() -> Endpoint:
    """Reads the arguments; each has a variable of the environment as its default."""
    parser = argparse.ArgumentParser(description=__doc__)

    def option(name: str, variable: str, default: str | None = None) -> None:
        value = os.environ.get(variable, default)
        parser.add_argument(name, default=value, required=value is None, help=f"or ${variable}")

    option("--anthropic-url", "KEYPOOL_SDK_ANTHROPIC_URL")
    option("--openai-url", "KEYPOOL_SDK_OPENAI_URL")
    option("--gemini-url", "KEYPOOL_SDK_GEMINI_URL")
    option("--anthropic-key", "KEYPOOL_SDK_ANTHROPIC_KEY")
    option("--openai-key", "KEYPOOL_SDK_OPENAI_KEY")
    option("--gemini-key", "KEYPOOL_SDK_GEMINI_KEY")
    option("--anthropic-model", "KEYPOOL_SDK_ANTHROPIC_MODEL", "claude-sonnet-4-6")
    option("--openai-model", "KEYPOOL_SDK_OPENAI_MODEL", "gpt-4o")
    option("--gemini-model", "KEYPOOL_SDK_GEMINI_MODEL", "gemini-2.5-flash")
    option("--embedding-model", "KEYPOOL_SDK_EMBEDDING_MODEL", "text-embedding-3-small")
    option("--gemini-embedding-model", "KEYPOOL_SDK_GEMINI_EMBEDDING_MODEL", "gemini-embedding-001")
    parser.add_argument("--control-url", default=os.environ.get("KEYPOOL_SDK_CONTROL_URL"))
    parser.add_argument("--gateway", action="store_true", help="a gateway stands before the simulator")
    return Endpoint(**vars(parser.parse_args()))


def isolate() -> None:
    """Keeps the user's own credentials, addresses and proxies out of the checks."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "OPENAI_", "GEMINI_", "GOOGLE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
