"""Plays one turn of Claude Code per API: play.py KEYPOOL DIRECTORY-OF-CLAUDE."""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import provider

KEYS = {
    "anthropic": ["sk-ant-canary-of-the-provider-1", "sk-ant-canary-of-the-provider-2"],
    "openai": ["sk-proj-canary-of-the-provider-1", "sk-proj-canary-of-the-provider-2"],
    "gemini": ["AIzaSy-canary-of-the-provider-1", "AIzaSy-canary-of-the-provider-2"],
}
OWN_KEY = "canary-of-the-gateway"
LAST_WORDS = "The greeting is friendlier now."
# What each provider is asked for, and how the client asks.
APIS = {
    "anthropic": (provider.anthropic, "claude-sonnet-4-5", "claude-sonnet-4-5"),
    "openai": (provider.openai, "gpt-4o", "openai,gpt-4o"),
    "gemini": (provider.gemini, "gemini-2.5-flash", "gemini,gemini-2.5-flash"),
}


class Simulator:
    """`keypool sim`, as long as the block runs."""

    def __init__(self, keypool: str, directory: Path):
        config = directory / "simulator.json"
        organisations = [{"name": name, "dialect": name} for name in KEYS]
        keys = [{"secret": secret, "organisation": name} for name in KEYS for secret in KEYS[name]]
        config.write_text(json.dumps({"organisations": organisations, "keys": keys}))
        command = [keypool, "sim", "--listen", "127.0.0.1:0", "--config-file", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.url = self.process.stdout.readline().split()[-1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def post(self, command: str, body: dict):
        request = urllib.request.Request(f"{self.url}/__sim/{command}", json.dumps(body).encode())
        urllib.request.urlopen(request).close()

    def requests(self) -> list[dict]:
        with urllib.request.urlopen(f"{self.url}/__sim/requests") as answer:
            return json.load(answer)


def play(keypool: str, claude: str, simulator: Simulator, name: str, directory: Path):
    """One turn: the file is read and edited, and the text is printed."""
    api, model, asked_model = APIS[name]
    work = directory / name
    work.mkdir()
    greeting = work / "greeting.txt"
    greeting.write_text("Hello.\n")
    path = str(greeting)
    edit = {"file_path": path, "old_string": "Hello.", "new_string": "Hello, dear reader."}
    contents = [
        {"name": "Read", "input": {"file_path": path}},
        {"name": "Edit", "input": edit},
        {"text": LAST_WORDS},
    ]
    simulator.post("reset", {})
    simulator.post("faults", {"faults": provider.windows(api, contents, model)})
    base_url = simulator.url + ("/v1" if name == "openai" else "")
    config = directory / f"{name}.json"
    config.write_text(json.dumps({
        "PORT": 0,
        "APIKEY": "$GATEWAY_KEY",
        "ApiKeyPool": {"enabled": True, "providers": {
            name: {"baseUrl": base_url, "keys": [{"key": "$PROVIDER_KEY_1"}, {"key": "$PROVIDER_KEY_2"}]},
        }},
        "Router": {"default": f"{name},{model}"},
    }))
    log = directory / f"{name}.log"
    command = [
        keypool, "code", "--config", str(config), "--log-file", str(log),
        "-p", "Make the greeting in greeting.txt friendlier.", "--model", asked_model,
        "--permission-mode", "acceptEdits", "--allowedTools", "Read,Edit",
    ]
    environment = {
        "PATH": f"{claude}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory / "home"),
        "GATEWAY_KEY": OWN_KEY,
        "PROVIDER_KEY_1": KEYS[name][0],
        "PROVIDER_KEY_2": KEYS[name][1],
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        # A door that is shut: what does not go to the gateway goes nowhere.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    ended = subprocess.run(
        command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
    )
    said = f"{ended.stdout}\n{ended.stderr}\n{log.read_text() if log.exists() else ''}"
    requests = simulator.requests()
    expect(ended.returncode == 0, f"exit code {ended.returncode}", said)
    expect(ended.stdout.strip() == LAST_WORDS, "the last words are not what is printed", said)
    expect(greeting.read_text() == "Hello, dear reader.\n", "the file is not edited", said)
    # Gemini's API has the model in the path.
    turns = [request for request in requests if model in request["pathAndQuery"] + request["body"]]
    expect(len(turns) == 4, f"the provider saw {len(turns)} requests", said)
    expect(turns[0]["key"] != turns[1]["key"], "no other key came in for the overloaded one", said)
    expect("Hello." in turns[2]["body"], "what the tool read did not reach the provider", said)
    for secret in KEYS[name]:
        expect(secret not in said, "a provider's key shows", said)
    for request in requests:
        expect(OWN_KEY not in json.dumps(request), "the gateway's key went to the provider", said)
    print(f"{name}: a file read and edited, {len(turns)} requests to {model}, one of them failed over, exit code 0")


def expect(holds: bool, what: str, said: str):
    if not holds:
        sys.exit(f"{what}\n{said}")


def main():
    keypool, claude = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        directory = Path(directory)
        (directory / "home").mkdir()
        with Simulator(keypool, directory) as simulator:
            for name in APIS:
                play(keypool, claude, simulator, name, directory)
    print(f"{len(APIS)} passed, 0 failed")


if __name__ == "__main__":
    main()
