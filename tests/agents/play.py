"""Plays one turn of each agent per provider: play.py KEYPOOL DIRECTORY-OF-AGENTS AGENT..."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import provider
from agents import AFTER, AGENTS, BEFORE, LAST_WORDS, OLD, Route, prepare

KEYS = {
    "anthropic": ["sk-ant-canary-of-the-provider-1", "sk-ant-canary-of-the-provider-2"],
    "openai": ["sk-proj-canary-of-the-provider-1", "sk-proj-canary-of-the-provider-2"],
    "gemini": ["AIzaSy-canary-of-the-provider-1", "AIzaSy-canary-of-the-provider-2"],
}
OWN_KEY = "canary-of-the-gateway"


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


def configuration(simulator: Simulator) -> dict:
    """All providers, whose keys stand in the environment."""
    def of(name: str) -> dict:
        base_url = simulator.url + ("/v1" if name == "openai" else "")
        keys = [{"key": f"${variable}"} for variable in variables(name)]
        return {"baseUrl": base_url, "keys": keys}

    providers = {name: of(name) for name in KEYS}
    pool = {"enabled": True, "providers": providers}
    return {"PORT": 0, "APIKEY": "$GATEWAY_KEY", "LOG_LEVEL": "debug", "ApiKeyPool": pool}


def variables(name: str) -> list[str]:
    return [f"{name.upper()}_PROVIDER_KEY_{number}" for number in (1, 2)]


def play(keypool: str, programs: Path, simulator: Simulator, name: str, route: Route, directory: Path):
    """One turn: the file is read and edited, and the text is printed."""
    agent = AGENTS[name]
    home, work = directory / "home", directory / "work"
    work.mkdir(parents=True)
    prepare(agent, home, work)
    greeting = work / "greeting.txt"
    greeting.write_text(BEFORE)
    answers = agent.answers(str(greeting))
    simulator.post("reset", {})
    simulator.post("faults", {"faults": provider.windows(route.api, answers, route.model, route.streamed)})
    config = directory / "config.json"
    config.write_text(json.dumps(configuration(simulator)))
    log = directory / "log"
    command = [
        keypool, "code", "--config", str(config), "--log-file", str(log), "--agent", name, *agent.arguments(route),
    ]
    provider_keys = {variable: key for name in KEYS for variable, key in zip(variables(name), KEYS[name])}
    environment = {
        "PATH": f"{programs / name / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "GATEWAY_KEY": OWN_KEY,
        # A door that is shut: what does not go to the gateway goes nowhere.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    } | provider_keys | agent.environment
    code, stdout, stderr = run(command, work, environment)
    said = f"{stdout}\n{stderr}\n{log.read_text() if log.exists() else ''}"
    requests = simulator.requests()
    turns = [request for request in requests if model_of(request) == route.model][:len(answers) + 1]
    expect(code == 0, f"exit code {code}", said)
    expect(LAST_WORDS in stdout, "the last words are not what is printed", said)
    expect(greeting.read_text() == AFTER, "the file is not edited", said)
    expect(len(turns) == len(answers) + 1, f"the provider saw {len(turns)} requests", said)
    expect(turns[0]["key"] != turns[1]["key"], "no other key came in for the overloaded one", said)
    # What the first tool read, or went along.
    expect(OLD in turns[min(2, len(answers))]["body"], "the file did not reach the provider", said)
    for secret in provider_keys.values():
        expect(secret not in said, "a provider's key shows", said)
    for request in requests:
        expect(OWN_KEY not in json.dumps(request), "the gateway's key went to the provider", said)
    others = len(requests) - len(turns)
    print(f"{name}, {route.name}: a file read and edited, one of {len(turns)} requests failed over, {others} others")


def run(command: list[str], work: Path, environment: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, output and errors. What takes too long is ended with all that it started."""
    with subprocess.Popen(
        command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
        return process.returncode, stdout, stderr


def model_of(request: dict) -> str | None:
    """The model that a request names; Gemini's API has it in the path."""
    if request["method"] != "POST":
        return None
    _, in_path, rest = request["pathAndQuery"].partition("/models/")
    return rest.split(":")[0] if in_path else json.loads(request["body"]).get("model")


def expect(holds: bool, what: str, said: str):
    if not holds:
        sys.exit(f"{what}\n{said}")


def main():
    keypool, programs, *names = sys.argv[1:]
    played = 0
    with tempfile.TemporaryDirectory() as directory:
        with Simulator(keypool, Path(directory)) as simulator:
            for name in names:
                for route in AGENTS[name].routes:
                    played += 1
                    play(keypool, Path(programs), simulator, name, route, Path(directory) / str(played))
    print(f"{played} passed, 0 failed")


if __name__ == "__main__":
    main()
