"""A model that is any function of a conversation: experts, negative controls, fakes in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from okrt.errors import ModelFailure
from okrt.models.calls import with_calls
from okrt.models.counter import count_tokens, first_tokens
from okrt.types import Completion, Conversation, Usage


@dataclass(frozen=True, slots=True)
class ScriptedModel:
    """Answers with `respond(conversation)`; its tokens are those of `okrt.models.counter`.

    Where a function is to be called, the fenced blocks of the text become calls of it.
    """

    name: str
    respond: Callable[[Conversation], str]
    max_new_tokens: int | None = None
    """Where a reply is cut, in counted tokens. None: nowhere."""

    def generate(self, conversations: Sequence[Conversation]) -> list[Completion]:
        """Returns one completion for each conversation, in order.

        Raises:
            ModelFailure: the function raised, or returned something other than text.
        """
        return [self._complete(conversation) for conversation in conversations]

    def _complete(self, conversation: Conversation) -> Completion:
        try:
            reply = self.respond(conversation)
        except (Exception, SystemExit) as error:
            raise ModelFailure(
                f"{self.name}: the function raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(reply, str):
            raise ModelFailure(
                f"{self.name}: the function returned {type(reply).__name__}; return a str"
            )
        if conversation.function is not None:
            reply = with_calls(reply, conversation.function)
        limit = self.max_new_tokens
        text = reply if limit is None else first_tokens(reply, limit)
        usage = Usage(
            prompt_tokens=sum(count_tokens(message.content) for message in conversation.messages),
            completion_tokens=count_tokens(text),
        )
        return Completion(text, "length" if text != reply else "stop", usage)
