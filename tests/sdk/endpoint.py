"""Where the checks send their requests, and as whom: arguments, or the environment."""

import argparse
import json
import os
import urllib.request
from dataclasses import dataclass

import anthropic
import openai


@dataclass(frozen=True)
class Endpoint:
    """One server that speaks both APIs."""

    anthropic_url: str
    openai_url: str
    anthropic_key: str
    openai_key: str
    anthropic_model: str
    openai_model: str
    embedding_model: str
    # The simulator's own address when it is checked directly, so that faults can be scripted.
    control_url: str | None

    def anthropic(self, key: str | None = None, retries: int = 0) -> anthropic.Anthropic:
        """A client of the Messages API."""
        return anthropic.Anthropic(
            api_key=key or self.anthropic_key, base_url=self.anthropic_url, max_retries=retries
        )

    def openai(self, key: str | None = None, retries: int = 0) -> openai.OpenAI:
        """A client of the OpenAI API."""
        return openai.OpenAI(
            api_key=key or self.openai_key, base_url=self.openai_url, max_retries=retries
        )

    def script(self, key: str, *windows: dict) -> None:
        """Replaces the faults of one key in the simulator."""
        body = json.dumps({"key": key, "faults": list(windows)}).encode()
        urllib.request.urlopen(f"{self.control_url}/__sim/faults", data=body).close()


def parse() -> Endpoint:
    """Reads the arguments; each has a variable of the environment as its default."""
    parser = argparse.ArgumentParser(description=__doc__)

    def option(name: str, variable: str, default: str | None = None) -> None:
        value = os.environ.get(variable, default)
        parser.add_argument(name, default=value, required=value is None, help=f"or ${variable}")

    option("--anthropic-url", "KEYPOOL_SDK_ANTHROPIC_URL")
    option("--openai-url", "KEYPOOL_SDK_OPENAI_URL")
    option("--anthropic-key", "KEYPOOL_SDK_ANTHROPIC_KEY")
    option("--openai-key", "KEYPOOL_SDK_OPENAI_KEY")
    option("--anthropic-model", "KEYPOOL_SDK_ANTHROPIC_MODEL", "claude-sonnet-4-6")
    option("--openai-model", "KEYPOOL_SDK_OPENAI_MODEL", "gpt-4o")
    option("--embedding-model", "KEYPOOL_SDK_EMBEDDING_MODEL", "text-embedding-3-small")
    parser.add_argument("--control-url", default=os.environ.get("KEYPOOL_SDK_CONTROL_URL"))
    return Endpoint(**vars(parser.parse_args()))


def isolate() -> None:
    """Keeps the user's own credentials, addresses and proxies out of the checks."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "OPENAI_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
