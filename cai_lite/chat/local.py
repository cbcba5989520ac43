"""A transformers model on this machine, decoded in batches.

`generate` is not used, because the random numbers of each sample have to come from its request's key: then a resumed
run draws the same texts whatever it still has to ask. Which requests share a batch changes only the rounding. On a CPU,
batches depend on the requests alone, so that results are the same to the last bit; on a GPU, on the free memory too.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.base import SystemMessage, settings_digest
from cai_lite.chat.capacity import (
    ONE_ROW,
    SMALL,
    STEP,
    RowCost,
    batches,
    free_bytes,
    is_out_of_memory,
    release,
    row_cost,
)
from cai_lite.chat.completions import settled
from cai_lite.chat.decoding import decode, decode_steps
from cai_lite.chat.ends import end_tokens
from cai_lite.chat.rendering import merged_system, read_template, token_ids
from cai_lite.chat.thoughts import opening_mark, thinks
from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import (
    Load,
    adapter_digest,
    adapter_folder,
    folder_digest,
    open_weights,
    weights_digest,
)
from cai_lite.errors import ModelError
from cai_lite.records import Reply, Request, digest


class LocalModel:
    """A chat model on this machine. Weights are loaded at the first request and shared with `without_adapter()`.

    `tokens_per_batch` limits the number of prompt and reply tokens of a batch together. None chooses it by the memory
    that a row takes, up to 80 % of a GPU's free memory; on a CPU it is 16,384. A batch that runs out of memory is
    decoded in halves. `template`: variables of the chat template, such as `{"enable_thinking": False}`; None takes
    those that `adapter` was trained with. `system`: "merge" puts the system message in front of the first user turn,
    for templates that refuse one. `bridged`: begin answers behind what training puts in front of them, such as an
    empty thought (see `turns`), as a student that is trained here is asked; so is one with an adapter.

    `former_digests` are those that earlier versions of cai_lite gave the same model; replies stored under them count.
    """

    def __init__(
        self,
        model: str,
        *,
        load: Load | None = None,
        adapter: str | Path | None = None,
        wording: Literal["full", "short"] = "full",
        tokens_per_batch: int | None = None,
        template: Mapping[str, Any] | None = None,
        system: SystemMessage = "keep",
        bridged: bool = False,
    ) -> None:
        self.model, self.load, self.adapter = model, load, adapter
        self.name = model if adapter is None else f"{model} + adapter"
        if template is None and adapter is not None:
            template = read_template(adapter)
        self.template: Mapping[str, Any] = dict(template or {})
        self.system: SystemMessage = system
        self.bridged = bridged or adapter is not None
        self.former_digests: tuple[str, ...] = ()
        loaded = ("local", weights_digest(model), load or "auto")
        asked = settings_digest(template=self.template, system=system)
        if adapter is None:
            self.digest = digest(*loaded, None, *asked)
        else:
            folder = adapter_folder(adapter)
            self.digest = digest(*loaded, adapter_digest(folder), *asked)
            self.former_digests = (digest(*loaded, folder_digest(folder), *asked),)
        self.wording: Literal["full", "short"] = wording
        self.tokens_per_batch = tokens_per_batch
        self._opened: tuple[Any, Any] | None = None
        self._turns: Turns | None = None
        self._most_tokens: int | None = None  # of a batch; learnt by running out of memory
        self._costs: dict[int, RowCost] = {}  # by the number of prompt tokens

    def opened(self) -> tuple[Any, Any]:
        """Return (model, tokenizer), loading them at the first call."""
        if self._opened is None:
            self._opened = open_weights(self.model, load=self.load, adapter=self.adapter)
            if self.adapter is not None:
                from cai_lite.logps.fused import fuse

                fuse(self._opened[0])  # the passes of training: fewer operations a layer than peft's
        return self._opened

    def close(self) -> None:
        """Release the weights. The model stays usable: the next request loads them again."""
        self._opened = None

    def with_adapter(self, adapter: str | Path) -> LocalModel:
        """Return the same model with an adapter, on weights of its own.

        Without variables of the chat template, those that the adapter was trained with are used.
        """
        return LocalModel(
            self.model,
            load=self.load,
            adapter=adapter,
            wording=self.wording,
            tokens_per_batch=self.tokens_per_batch,
            template=self.template or None,
            system=self.system,
        )

    def without_adapter(self) -> LocalModel:
        """Return the base model without the adapter, on the same copy of the weights."""
        return _AdapterOff(self)

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer in batches of similar length, longest first, so that running out of memory shows at once.

        Raises:
            ModelError: the model cannot be opened or decoded, or a single request does not fit into memory.
        """
        model, tokenizer = self.opened()
        prompts = [self.token_ids(tokenizer, request) for request in requests]
        replies = [request.sampling.max_tokens for request in requests]
        for planned in self._planned(model, prompts, requests):
            waiting = [planned]
            while waiting:
                batch = waiting.pop()
                answered = self._answer_batch(model, tokenizer, batch, prompts, requests)
                if answered is None:
                    half = self._halved(model, len(batch), max(len(prompts[i]) + replies[i] for i in batch))
                    waiting += [batch[half:], batch[:half]]
                else:
                    yield answered

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Return the batches in which `answer` decodes these requests, as positions.

        On a CPU, the batches of one batch alone are that batch, so that each may be answered elsewhere.

        Raises:
            ModelError: the model cannot be opened, or a request not be rendered.
        """
        model, tokenizer = self.opened()
        return list(self._planned(model, [self.token_ids(tokenizer, request) for request in requests], requests))

    def _planned(self, model: Any, prompts: list[list[int]], requests: Sequence[Request]) -> Iterator[list[int]]:
        """Yield the batches, each once it is asked for: what one of them took may make the next ones smaller."""
        # Sorted by length, then by key, so that the order does not depend on earlier requests.
        order = sorted(
            range(len(requests)), key=lambda i: (-len(prompts[i]), requests[i].sampling.max_tokens, requests[i].key(""))
        )
        lengths, replies = [len(p) for p in prompts], [request.sampling.max_tokens for request in requests]
        total = sum(lengths) + sum(replies)
        return batches(
            order, lengths, replies, lambda prompt, width: self._rows(model, prompt, width, measure=total > SMALL)
        )

    def _rows(self, model: Any, prompt: int, width: int, *, measure: bool) -> int:
        """Return how many rows are decoded together; see `batches`. Measuring takes a few passes."""
        budget = free_bytes(model.get_input_embeddings().weight.device) if measure else None
        if self.tokens_per_batch is not None or budget is None:
            rows = (self.tokens_per_batch or SMALL) // width
        else:
            rows = self._cost(model, -(-prompt // STEP) * STEP).rows(budget, width)
        if self._most_tokens is not None:
            rows = min(rows, self._most_tokens // width)
        return max(1, rows)

    def _cost(self, model: Any, prompt: int) -> RowCost:
        if prompt not in self._costs:
            try:
                self._costs[prompt] = row_cost(model, prompt)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._costs[prompt] = ONE_ROW
        return self._costs[prompt]

    def _halved(self, model: Any, rows: int, width: int) -> int:
        """Return half of the rows of a batch that ran out of memory; later batches have no more tokens than that."""
        if rows == 1:
            raise ModelError(
                f"{self.name}: out of memory while decoding a single request of up to {width} tokens; "
                "lower max_tokens, take load: nf4, or close other programs on the device"
            )
        release(model.get_input_embeddings().weight.device)
        self._most_tokens = rows // 2 * width
        return rows // 2

    def token_ids(self, tokenizer: Any, request: Request) -> list[int]:
        """Return the token ids of a request, rendered as this model is asked."""
        if self.bridged:
            if self._turns is None:
                self._turns = Turns.of_model(self.opened()[0], tokenizer, template=self.template, system=self.system)
            return self._turns.prompt_ids(request.messages)
        messages = merged_system(request.messages) if self.system == "merge" else request.messages
        return token_ids(tokenizer, messages, add_generation_prompt=True, template=self.template)

    def fits(self, request: Request) -> bool:
        """Return whether the prompt and the longest reply to it fit into the context length that the model names."""
        model, tokenizer = self.opened()
        context = getattr(model.config, "max_position_embeddings", None)
        return context is None or len(self.token_ids(tokenizer, request)) + request.sampling.max_tokens <= context

    def _answer_batch(
        self, model: Any, tokenizer: Any, batch: list[int], prompts: list[list[int]], requests: Sequence[Request]
    ) -> dict[int, Reply] | None:
        """Return the replies by index, or None if memory ran out."""
        import torch

        started = time.perf_counter()
        try:
            with torch.inference_mode():
                drawn, first_logits = decode(
                    model,
                    [prompts[i] for i in batch],
                    [requests[i] for i in batch],
                    ends=end_tokens(model, tokenizer),
                    pad=tokenizer.pad_token_id,
                )
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        seconds = (time.perf_counter() - started) / len(batch)
        return {
            i: _reply(
                tokenizer,
                prompts[i],
                requests[i],
                drawn[row],
                None if first_logits is None else first_logits[row],
                seconds,
            )
            for row, i in enumerate(batch)
        }

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Yield the reply piece by piece, and last as a whole; see `streaming`.

        Raises:
            ModelError: the model cannot be opened or decoded.
        """
        import torch

        model, tokenizer = self.opened()
        prompt, started = self.token_ids(tokenizer, request), time.perf_counter()
        ends, pad = end_tokens(model, tokenizer), tokenizer.pad_token_id
        steps = decode_steps(model, [prompt], [request], ends=ends, pad=pad)
        yield opening_mark(tokenizer.decode(prompt[-24:]))
        shown = ""
        while True:
            try:
                with torch.inference_mode():  # not while the caller has its turn
                    (tokens,) = next(steps)
            except StopIteration as ended:
                (drawn,), first_logits = ended.value
                break
            text = tokenizer.decode(tokens, skip_special_tokens=True)
            if not text.endswith("\ufffd"):  # half of a character
                yield text[len(shown) :]
                shown = text
        logits = None if first_logits is None else first_logits[0]
        yield _reply(tokenizer, prompt, request, drawn, logits, time.perf_counter() - started)


class _AdapterOff(LocalModel):
    """The base model of a `LocalModel`: the same weights, with the adapter disabled during a call."""

    def __init__(self, adapted: LocalModel) -> None:
        self._adapted = adapted
        super().__init__(
            adapted.model,
            load=adapted.load,
            wording=adapted.wording,
            tokens_per_batch=adapted.tokens_per_batch,
            template=adapted.template,
            system=adapted.system,
            bridged=adapted.bridged,
        )

    def opened(self) -> tuple[Any, Any]:
        return self._adapted.opened()

    def stream(self, request: Request) -> Iterator[str | Reply]:
        """Yield the reply as a whole: between two pieces the adapter would be off for whoever has the weights, too."""
        for answered in self.answer([request]):
            yield from answered.values()

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        model, _ = self.opened()
        with model.disable_adapter() if self._adapted.adapter is not None else contextlib.nullcontext():
            yield from super().answer(requests)


def _reply(
    tokenizer: Any,
    prompt: list[int],
    request: Request,
    drawn: tuple[list[int], int | None],
    logits_V: Any,
    seconds: float,
) -> Reply:
    """Return the reply of one row: its tokens, and the end token that was reached, or None."""
    tokens, end = drawn
    text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    if mark := opening_mark(tokenizer.decode(prompt[-24:])):
        text = f"{mark}\n{text}"  # the template opened the thought, so the reply begins inside it
    outcome, fault = settled(text, cut=end is None, brief=bool(request.options))
    scored = bool(request.options) and not thinks(text)
    return Reply(
        text=text,
        outcome=outcome,
        fault=fault,
        log_probs=_option_log_probs(tokenizer, logits_V, request.options) if scored else None,
        tokens_in=len(prompt),
        tokens_out=len(tokens),
        seconds=seconds,
    )


def _option_log_probs(tokenizer: Any, logits_V: Any, options: tuple[str, ...]) -> dict[str, float] | None:
    """Return the log-probability of each option as the first word, in nats, summed over its spellings.

    The spellings are with and without a leading space and a capital letter. The result is None if an option shares all
    its first tokens with another one, because the first token then says nothing.
    """
    log_probs_V = logits_V.log_softmax(-1)
    spelled = {
        option: {
            tokenizer(form, add_special_tokens=False)["input_ids"][0]
            for word in (option, option.capitalize())
            for form in (word, f" {word}")
        }
        for option in options
    }
    # In some tokenizers, a single space is the first token of every option; such tokens are left out.
    shared = {
        token for token in set().union(*spelled.values()) if sum(token in tokens for tokens in spelled.values()) > 1
    }
    if any(not tokens - shared for tokens in spelled.values()):
        return None
    return {
        option: math.log(max(sum(math.exp(float(log_probs_V[token])) for token in tokens - shared), 1e-300))
        for option, tokens in spelled.items()
    }
