"""A model that an OpenAI-compatible server has (vLLM, SGLang, transformers serve).

Requests run on an event loop in a thread of its own, so that many are in flight over connections
that are kept, each has one deadline from its start to its last byte, and giving one up closes its
connection, which is how servers learn of it. The retries of the openai package are off: ours are
bounded, and what ends them becomes a record. Whether a reply depends on its neighbours is the
server's affair (docs/serving.md).
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from random import Random
from typing import Any, TypeVar

import httpx2
import openai

from okrt.errors import ModelFailure, UsageError
from okrt.models.calls import chat_message, schema
from okrt.models.endpoint import IN_FLIGHT, Endpoint
from okrt.models.meeting import meet
from okrt.models.patience import Patience
from okrt.models.rendering import template_options
from okrt.models.replies import Unanswered, completion, refusal, retry_after, room_left
from okrt.redact import redact
from okrt.types import Completion, Conversation, FunctionTool, Thinking, Usage

T = TypeVar("T")

SEEDS = 2**31
"""Seeds are sent below this: not every server takes 63 bits."""
_LONGEST_MESSAGE = 500
_END_S = 5.0
"""Longest wait for a thread that ends; it is a daemon, so that no exit hangs on it."""


class ServerModel:
    """One model of a server, met when this object is made."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        temperature: float,
        max_new_tokens: int,
        thinking: Thinking,
        key: str | None = None,
        concurrency: int = IN_FLIGHT,
        patience: Patience | None = None,
        function: FunctionTool | None = None,
    ) -> None:
        """Asks the server for its models, and the model for one token.

        Args:
            endpoint: where it is.
            temperature: 0 is greedy.
            max_new_tokens: the longest reply, in tokens.
            thinking: `off` tells the template so.
            key: sent as a bearer token unless the endpoint has credentials.
            concurrency: requests at a time.
            patience: how long is waited and how often tried again.
            function: what the model is offered to call, in every request.

        Raises:
            UsageError: the server cannot be reached, is none of this kind, wants another key, has
                no such model, or refuses what is asked; one line that names URL and remedy.
        """
        self.name = endpoint.name
        self.endpoint = endpoint
        self.patience = patience or Patience()
        self.has_key = bool(key)
        self._secrets = (*endpoint.secrets, *([key] if key else []))
        self._max_new_tokens = max_new_tokens
        self._fixed: dict[str, Any] = {
            "model": endpoint.name, "temperature": temperature, "top_p": 1.0,
        }  # fmt: skip
        # Off, and said so: a server may fill what it is not told from the checkpoint's defaults.
        self._extras: dict[str, Any] = {
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "chat_template_kwargs": template_options(thinking),
        }
        self.offers_function = function is not None
        if function is not None:
            self._fixed["tools"] = [schema(function)]
            self._extras["tool_choice"] = "auto"  # what it is anyway, where a server refuses it
        self._gone = False
        """Whether a request was tried to the end while none succeeded."""
        self._succeeded = 0
        self._asked: dict[int, tuple[Conversation, Future[Completion]]] = {}
        self._client = self._make_client(key)
        self._places = asyncio.Semaphore(concurrency)
        self.concurrency = concurrency
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="okrt-server", daemon=True)
        thread.start()
        self._end = weakref.finalize(self, _end, self._loop, thread, self._client)
        try:
            self.facts = self._submit(meet(self)).result()
        except BaseException:
            self.close()
            raise

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """Returns one completion for each conversation, in order.

        Raises:
            ModelFailure: the server gave no answer to one of them, after all retries.
        """
        futures = [self._submit(self._complete(one)) for one in conversations]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def answer_some(
        self, conversations: Sequence[Conversation]
    ) -> list[tuple[int, Completion | ModelFailure]]:
        """Returns at least one of the answers, each with its conversation's place.

        The other requests stay under way; those of conversations that are not passed again are
        given up. An answer that cannot be had is its failure.
        """
        held = self._asked
        self._asked = {
            id(one): (
                held.pop(id(one)) if id(one) in held else (one, self._submit(self._complete(one)))
            )
            for one in conversations
        }
        for _, future in held.values():
            future.cancel()
        futures = [self._asked[id(one)][1] for one in conversations]
        wait(futures, return_when=FIRST_COMPLETED)
        return [(place, _result(one)) for place, one in enumerate(futures) if one.done()]

    def close(self) -> None:
        """Gives up what is under way and closes the connections. May be called again."""
        self._end()

    # -- one request -----------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The model and its server, as they may be shown."""
        return f"{self.name} at {self.endpoint.url}"

    def _make_client(self, key: str | None) -> openai.AsyncOpenAI:
        try:
            return openai.AsyncOpenAI(
                base_url=self.endpoint.url,
                api_key=key or "none",
                default_headers=self.endpoint.headers,
                default_query=self.endpoint.query,
                max_retries=0,
                timeout=httpx2.Timeout(None, connect=self.patience.connect_s),
            )
        except httpx2.InvalidURL as error:
            raise UsageError(self.said(f"{self.endpoint.url} is no URL: {error}")) from None

    @property
    def refused_fields(self) -> tuple[str, ...]:
        """Fields that the server refused, and that it is sent no more."""
        return tuple(name for name, value in self._extras.items() if value is None)

    def said(self, text: str) -> str:
        """Returns a text without this server's credentials, cut where it is long, in this order:
        what is left of a secret that was cut would not be found."""
        return redact(text, self._secrets)[:_LONGEST_MESSAGE]

    async def fetch(self, url: str, timeout_s: float) -> bytes:
        """Returns what a GET brings. Raises Unanswered."""
        return await self._within(timeout_s, partial(self._client.get, url))

    async def ask(
        self,
        messages: Sequence[dict[str, Any]],
        tokens: int,
        seed: int = 0,
        timeout_s: float | None = None,
        **more: Any,
    ) -> bytes:
        """Returns the answer to one request; fields that the server refuses are left out from then
        on.

        Raises:
            Unanswered: there is none, or it is a refusal of something else.
        """
        while True:
            sent = {name: value for name, value in self._extras.items() if value is not None}
            body = {**self._fixed, "messages": list(messages), "max_tokens": tokens,
                    "seed": seed % SEEDS, **sent, **more}  # fmt: skip
            post = partial(self._client.post, "/chat/completions", body=body)
            try:
                return await self._within(timeout_s or self.patience.request_s, post)
            except Unanswered as error:
                refused = [name for name in sent if name in error.message]
                if error.status not in (400, 422) or not refused:
                    raise
                self._extras |= dict.fromkeys(refused)

    async def _within(
        self, timeout_s: float, call: Callable[..., Awaitable[httpx2.Response]]
    ) -> bytes:
        """Returns the body that a call brings. Raises Unanswered, whatever went wrong."""
        try:
            async with asyncio.timeout(timeout_s):
                return (await call(cast_to=httpx2.Response)).content
        except TimeoutError as error:
            raise Unanswered(f"no whole answer within {timeout_s:g} s") from error
        except openai.APIStatusError as error:
            answer = error.response
            raise Unanswered(
                refusal(answer.content), error.status_code, retry_after(answer.headers)
            ) from error
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            line = " ".join(str(cause).split())
            raise Unanswered(f"{type(cause).__name__}: {line or 'no answer'}") from error

    async def _complete(self, conversation: Conversation) -> Completion:
        """Returns the completion; `context` where the server says that none fits.

        Raises:
            ModelFailure: none can be had.
        """
        messages = [chat_message(message) for message in conversation.messages]
        room = self._max_new_tokens

        async def once() -> Completion:
            return completion(await self.ask(messages, room, conversation.seed))

        async with self._places:
            while True:
                jitter = Random(f"{conversation.episode_id}/{conversation.seed}/{room}")
                try:
                    return await self._persist(once, jitter)
                except Unanswered as error:
                    left = room_left(error, room)
                    if left is None:
                        why = self.said(f"{self.where}: {error}")
                        raise ModelFailure(why) from (error.__cause__ or error)
                    if left < 1:
                        return Completion("", "context", Usage(completion_tokens=0))
                    room = left

    async def _persist(self, once: Callable[[], Awaitable[T]], jitter: Random) -> T:
        """Returns what the call brings, tried again for as long as patience has it.

        Where a request was tried to the end while no other succeeded, the server is taken for
        gone: the next ones are tried once each until one succeeds, so that a run does not wait out
        each of its episodes.
        """
        before = self._succeeded
        tries = 0
        while True:
            tries += 1
            try:
                found = await once()
            except Unanswered as error:
                last = tries >= self.patience.tries
                if error.passing and not last and not self._gone:
                    await asyncio.sleep(
                        self.patience.delay_s(tries, error.retry_after, jitter.random())
                    )
                    continue
                if error.passing and last and self._succeeded == before:
                    self._gone = True
                if tries > 1:
                    error.message += f" (tried {tries} times)"
                raise
            self._succeeded += 1
            self._gone = False
            return found

    def _submit(self, coroutine: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


def _result(future: Future[Completion]) -> Completion | ModelFailure:
    try:
        return future.result()
    except ModelFailure as error:
        return error


def _end(
    loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: openai.AsyncOpenAI
) -> None:
    """Ends a model's thread: what is under way is given up, connections are closed."""

    async def stop() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await client.close()
        loop.call_soon(loop.stop)

    asyncio.run_coroutine_threadsafe(stop(), loop)
    if thread is threading.current_thread():  # collected over there: it must not wait for itself
        return
    thread.join(_END_S)
    if not thread.is_alive():
        loop.close()
