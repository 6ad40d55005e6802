"""No credential survives in what is written, whatever brought it there."""

from __future__ import annotations

import pytest

from okrt.redact import api_key, arguments_without_secrets, redact, without_secrets

KEY = "geheim-4711-abc"


@pytest.mark.parametrize(
    "text",
    [
        f"m@http://user:{KEY}@host:8000/v1",
        f"m@https://{KEY}@host/v1",
        f"m@http://a/v1,https://user:{KEY}@b/v1,http://c/v1?key={KEY}",
        f"http://host/v1?key={KEY}",
        f"http://host/v1?a=1&access_token={KEY}#x",
        f"Authorization: Bearer {KEY}",
        f"{{'Authorization': 'Basic {KEY}'}}",
        f'{{"api_key": "{KEY}", "x": 1}}',
        f"X-Api-Key={KEY}",
        f"--password={KEY}",
        f"got Bearer {KEY}, wanted another",
        "Incorrect API key provided: sk-geheim4711abcdefgh",
        "hf_geheim4711abcdefghijklmnop",
        f"postgres://user:geheim@4711@host/{KEY}?x=y".replace(f"/{KEY}", ""),
    ],
)
def test_credentials_go(text: str) -> None:
    found = redact(text)
    assert "geheim" not in found
    assert redact(found) == found


def test_secrets_that_are_known_go_wherever_they_stand() -> None:
    assert redact(f"the server said {KEY}{KEY}!", [KEY]) == "the server said ******!"
    assert redact("abcdefgh abcdef", ["abcdef", "abcdefgh"]) == "*** ***"


def test_what_is_no_secret_stays() -> None:
    assert redact("runs/sk-as-in-some-skill") == "runs/sk-as-in-some-skill"
    pool = "m@http://a:1/v1,https://b:2/v1"
    assert redact(pool) == pool
    text = "m@http://host:8000/v1: 404: no model 'a@b', see http://host/docs (tried 3 times)"
    assert redact(text, ["EMPTY", "m", ""]) == text
    assert redact("http://host/v1?key=1&b=2") == "http://host/v1?key=***&b=***"


def test_the_environment_s_keys_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another-key-1234")
    monkeypatch.setenv("OKRT_API_KEY", KEY)
    assert without_secrets(f"{KEY} and another-key-1234") == "*** and ***"


def test_okrt_s_own_variable_comes_first() -> None:
    assert api_key({"OPENAI_API_KEY": "b", "OKRT_API_KEY": "a"}) == "a"
    assert api_key({"OPENAI_API_KEY": "b", "OKRT_API_KEY": ""}) == "b"
    assert api_key({}) is None


def test_what_is_given_to_an_option_for_a_secret_is_masked() -> None:
    words = ["evals", "--db-password", "hunter2", "--hf-token=abcd", "--okrt-max-tokens", "9", "-k"]
    assert arguments_without_secrets(words) == [
        "evals", "--db-password", "***", "--hf-token=***", "--okrt-max-tokens", "9", "-k",
    ]  # fmt: skip
    assert arguments_without_secrets(["--api-key"]) == ["--api-key"]
