"""What each agent is told, and how it reads and edits a file when the model says so."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

BEFORE = "Hello.\n"
AFTER = "Hello, dear reader.\n"
LAST_WORDS = "The greeting is friendlier now."
PROMPT = "Make the greeting in greeting.txt friendlier."
OLD, NEW = BEFORE.strip(), AFTER.strip()


@dataclass
class Route:
    """A provider, and how an agent comes to it."""

    provider: str
    # The API in which the provider is asked.
    api: str
    # What the agent calls the model.
    asked: str
    streamed: bool = True

    @property
    def model(self) -> str:
        return MODELS[self.provider]

    @property
    def name(self) -> str:
        return f"{self.asked}{'' if self.streamed else ', not streamed'}"


@dataclass
class Agent:
    """An agent's arguments, what the model answers, turn by turn, and the ways to the providers."""

    arguments: Callable[[Route], list[str]]
    answers: Callable[[str], list[dict]]
    routes: list[Route]
    environment: dict[str, str] = field(default_factory=dict)
    # Files that must be there, in the home or beside the greeting.
    home: dict[str, str] = field(default_factory=dict)
    work: dict[str, str] = field(default_factory=dict)


MODELS = {"anthropic": "claude-sonnet-4-5", "openai": "gpt-4o", "gemini": "gemini-2.5-flash"}


def of_openai_s_api(api: str) -> list[Route]:
    """For an agent that speaks an API of OpenAI's; the gateway translates for the others."""
    return [
        Route("openai", api, "gpt-4o"),
        Route("anthropic", "messages", "anthropic,claude-sonnet-4-5"),
        Route("gemini", "generate_content", "gemini,gemini-2.5-flash"),
    ]


def calls(read: str, edit: str, path: str, old: str, new: str, **more) -> Callable[[str], list[dict]]:
    """Two calls of tools, the words of the agent for the names and the parameters, then a text."""
    return lambda file: [
        {"name": read, "input": {path: file}},
        {"name": edit, "input": {path: file, old: OLD, new: NEW, **more}},
        {"text": LAST_WORDS},
    ]


AGENTS = {
    "claude": Agent(
        lambda route: [
            "-p", PROMPT, "--model", route.asked, "--permission-mode", "acceptEdits", "--allowedTools", "Read,Edit",
        ],
        calls("Read", "Edit", "file_path", "old_string", "new_string"),
        [
            Route("anthropic", "messages", "claude-sonnet-4-5"),
            Route("openai", "chat", "openai,gpt-4o"),
            Route("gemini", "generate_content", "gemini,gemini-2.5-flash"),
        ],
        {
            "DISABLE_TELEMETRY": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    ),
    # Its own sandbox does not start everywhere.
    "codex": Agent(
        lambda route: [
            "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "-c", 'web_search="disabled"',
            "-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false", "-m", route.asked, PROMPT,
        ],
        lambda file: [
            {"name": "exec_command", "input": {"cmd": f"cat {file}"}},
            {"name": "exec_command", "input": {"cmd": f"sed -i 's/{OLD}/{NEW}/' {file}"}},
            {"text": LAST_WORDS},
        ],
        of_openai_s_api("responses"),
    ),
    "gemini": Agent(
        lambda route: ["--model", route.asked, "--approval-mode", "auto_edit", "--skip-trust", "-p", PROMPT],
        calls("read_file", "replace", "file_path", "old_string", "new_string", instruction="Be friendlier."),
        [
            Route("gemini", "generate_content", "gemini-2.5-flash"),
            Route("anthropic", "messages", "anthropic,claude-sonnet-4-5"),
            Route("openai", "chat", "openai,gpt-4o"),
        ],
        home={
            ".gemini/settings.json":
                '{"security": {"auth": {"selectedType": "gemini-api-key"}},'
                ' "privacy": {"usageStatisticsEnabled": false}, "general": {"enableAutoUpdate": false}}',
        },
    ),
    "qwen": Agent(
        lambda route: ["--model", route.asked, "--approval-mode", "auto-edit", "-p", PROMPT],
        calls("read_file", "edit", "file_path", "old_string", "new_string"),
        of_openai_s_api("chat"),
        home={
            ".qwen/settings.json":
                '{"privacy": {"usageStatisticsEnabled": false}, "general": {"enableAutoUpdate": false}}',
        },
    ),
    "opencode": Agent(
        lambda route: ["run", "--model", route.asked, PROMPT],
        calls("read", "edit", "filePath", "oldString", "newString"),
        [
            Route("anthropic", "messages", "anthropic/claude-sonnet-4-5"),
            Route("openai", "responses", "openai/gpt-4o"),
            Route("gemini", "generate_content", "google/gemini-2.5-flash"),
            Route("anthropic", "messages", "openai/anthropic,claude-sonnet-4-5"),
            Route("gemini", "generate_content", "anthropic/gemini,gemini-2.5-flash"),
        ],
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        # It knows the models of each provider, and has to be told of others.
        work={
            "opencode.json":
                '{"provider": {"openai": {"models": {"anthropic,claude-sonnet-4-5": {}}},'
                ' "anthropic": {"models": {"gemini,gemini-2.5-flash": {}}}}}',
        },
    ),
    # It calls no tools: it sends the file along, and finds the edit in the answer's text.
    "aider": Agent(
        lambda route: [
            "--model", route.asked, "--edit-format", "diff", "--stream" if route.streamed else "--no-stream",
            "--yes-always", "--no-git", "--no-check-update", "--analytics-disable", "--no-show-model-warnings",
            "--no-show-release-notes", "--message", PROMPT, "greeting.txt",
        ],
        lambda file: [
            {"text": f"greeting.txt\n```\n<<<<<<< SEARCH\n{OLD}\n=======\n{NEW}\n>>>>>>> REPLACE\n```\n\n{LAST_WORDS}"},
        ],
        [
            Route(provider, api, asked, streamed)
            for provider, api, asked in [
                ("anthropic", "messages", "anthropic/claude-sonnet-4-5"),
                ("openai", "chat", "openai/gpt-4o"),
                ("gemini", "generate_content", "gemini/gemini-2.5-flash"),
                ("anthropic", "messages", "openai/anthropic,claude-sonnet-4-5"),
                ("gemini", "generate_content", "openai/gemini,gemini-2.5-flash"),
            ]
            for streamed in [True, False]
        ],
        # Else it asks the network for a list of prices.
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
}


def prepare(agent: Agent, home: Path, work: Path):
    """Writes the files that the agent needs."""
    for directory, files in [(home, agent.home), (work, agent.work)]:
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
