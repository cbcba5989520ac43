"""A transformers model on this machine, decoded in batches.

`generate` is not used, because the random numbers of each sample have to come from its request's key: then a resumed
run draws the same texts whatever it still has to ask. Batches are formed in a fixed order and are not refilled, so that
the floating-point results are the same too.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.base import SystemMessage, settings_digest
from cai_lite.chat.completions import settled
from cai_lite.chat.rendering import merged_system, read_template, token_ids
from cai_lite.chat.thoughts import opening_mark, thinks
from cai_lite.chat.weights import Load, adapter_folder, folder_digest, open_weights, weights_digest
from cai_lite.records import Reply, Request, digest


class LocalModel:
    """A chat model on this machine. Weights are loaded at the first request and shared with `without_adapter()`.

    `tokens_per_batch` limits the number of prompt and reply tokens of a batch together. `template`: variables of the
    chat template, such as `{"enable_thinking": False}`; None takes those that `adapter` was trained with. `system`:
    "merge" puts the system message in front of the first user turn, for templates that refuse one.
    """

    def __init__(
        self,
        model: str,
        *,
        load: Load | None = None,
        adapter: str | Path | None = None,
        wording: Literal["full", "short"] = "full",
        tokens_per_batch: int = 16384,
        template: Mapping[str, Any] | None = None,
        system: SystemMessage = "keep",
    ) -> None:
        self.model, self.load, self.adapter = model, load, adapter
        self.name = model if adapter is None else f"{model} + adapter"
        if template is None and adapter is not None:
            template = read_template(adapter)
        self.template: Mapping[str, Any] = dict(template or {})
        self.system: SystemMessage = system
        self.digest = digest(
            "local",
            weights_digest(model),
            load or "auto",
            folder_digest(adapter_folder(adapter)) if adapter else None,
            *settings_digest(template=self.template, system=system),
        )
        self.wording: Literal["full", "short"] = wording
        self.tokens_per_batch = tokens_per_batch
        self._opened: tuple[Any, Any] | None = None

    def opened(self) -> tuple[Any, Any]:
        """Return (model, tokenizer), loading them at the first call."""
        if self._opened is None:
            self._opened = open_weights(self.model, load=self.load, adapter=self.adapter)
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
        """Answer in batches of similar length, longest first, so that running out of memory shows at once."""
        model, tokenizer = self.opened()
        prompts = [self.token_ids(tokenizer, request) for request in requests]
        # Sorted by length, then by key, so that the order does not depend on earlier requests.
        order = sorted(
            range(len(requests)), key=lambda i: (-len(prompts[i]), requests[i].sampling.max_tokens, requests[i].key(""))
        )
        for batch in _batches(order, prompts, requests, self.tokens_per_batch):
            yield self._answer_batch(model, tokenizer, batch, prompts, requests)

    def token_ids(self, tokenizer: Any, request: Request) -> list[int]:
        """Return the token ids of a request, rendered as this model is asked."""
        messages = merged_system(request.messages) if self.system == "merge" else request.messages
        return token_ids(tokenizer, messages, add_generation_prompt=True, template=self.template)

    def _answer_batch(
        self, model: Any, tokenizer: Any, batch: list[int], prompts: list[list[int]], requests: Sequence[Request]
    ) -> dict[int, Reply]:
        import torch

        started = time.perf_counter()
        asked = [requests[i] for i in batch]
        with torch.inference_mode():
            drawn, first_logits = _decode(model, tokenizer, [prompts[i] for i in batch], asked)
        seconds = (time.perf_counter() - started) / len(batch)
        replies = {}
        for row, i in enumerate(batch):
            tokens, ended = drawn[row]
            text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
            if mark := opening_mark(tokenizer.decode(prompts[i][-24:])):
                text = f"{mark}\n{text}"  # the template opened the thought, so the reply begins inside it
            options = requests[i].options
            outcome, fault = settled(text, cut=not ended, brief=bool(options))
            scored = bool(options) and not thinks(text)
            replies[i] = Reply(
                text=text,
                outcome=outcome,
                fault=fault,
                log_probs=_option_log_probs(tokenizer, first_logits[row], options) if scored else None,
                tokens_in=len(prompts[i]),
                tokens_out=len(tokens),
                seconds=seconds,
            )
        return replies


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
        )

    def opened(self) -> tuple[Any, Any]:
        return self._adapted.opened()

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        model, _ = self.opened()
        with model.disable_adapter() if self._adapted.adapter is not None else contextlib.nullcontext():
            yield from super().answer(requests)


def _batches(
    order: list[int], prompts: list[list[int]], requests: Sequence[Request], budget: int
) -> Iterator[list[int]]:
    batch: list[int] = []
    widest = 0
    for i in order:
        width = max(widest, len(prompts[i]) + requests[i].sampling.max_tokens)
        if batch and width * (len(batch) + 1) > budget:
            yield batch
            batch, width = [], len(prompts[i]) + requests[i].sampling.max_tokens
        batch, widest = [*batch, i], width
    if batch:
        yield batch


def _decode(
    model: Any, tokenizer: Any, prompts: list[list[int]], asked: list[Request]
) -> tuple[list[tuple[list[int], bool]], Any]:
    """Decode a batch of prompts.

    Returns, for each row, its tokens without the end token and whether it reached one; and the first step's logits,
    shape [B, V].
    """
    import torch
    from transformers import DynamicCache

    device = model.get_input_embeddings().weight.device
    ends = _end_tokens(model, tokenizer)
    width = max(map(len, prompts))
    # Padding is on the left, so that the last position of every row is a token of its own.
    ids_BT = torch.tensor([[tokenizer.pad_token_id] * (width - len(p)) + p for p in prompts], device=device)
    seen_BT = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    noise = [random.Random(request.key("noise")) for request in asked]
    rows = [([], False) for _ in asked]  # type: list[tuple[list[int], bool]]
    alive = list(range(len(asked)))  # indices of the rows that have not ended
    cache, first_logits = DynamicCache(), None
    step_BT, positions_BT = ids_BT, (seen_BT.cumsum(-1) - 1).clamp(min=0)
    for _ in range(max(request.sampling.max_tokens for request in asked)):
        out = model(
            input_ids=step_BT,
            attention_mask=seen_BT,
            position_ids=positions_BT,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV = out.logits[:, -1].float()
        if first_logits is None:
            first_logits = logits_BV.cpu()
        chosen = _draw(logits_BV, [asked[row] for row in alive], [noise[row].random() for row in alive])
        still = []
        for place, (row, token) in enumerate(zip(alive, chosen, strict=True)):
            if token in ends:
                rows[row] = (rows[row][0], True)
                continue
            rows[row][0].append(token)
            if len(rows[row][0]) < asked[row].sampling.max_tokens:
                still.append(place)
        if not still:
            break
        keep = torch.tensor(still, device=device)
        if len(still) < len(alive):  # rows that ended leave the batch
            cache.batch_select_indices(keep)
            seen_BT, positions_BT = seen_BT[keep], positions_BT[keep]
            alive = [alive[place] for place in still]
        step_BT = torch.tensor([[rows[row][0][-1]] for row in alive], device=device)
        seen_BT = torch.cat([seen_BT, seen_BT.new_ones(len(alive), 1)], dim=1)
        positions_BT = positions_BT[:, -1:] + 1
    return rows, first_logits


def _draw(logits_BV: Any, asked: list[Request], uniform: list[float]) -> list[int]:
    """Return one token per row: the likeliest at temperature 0, else one drawn by inverse transform sampling.

    `uniform` holds a random number from 0 to 1 per row.
    """
    import torch

    if all(request.sampling.temperature == 0 for request in asked):
        return list(logits_BV.argmax(-1).tolist())
    temperature_B = logits_BV.new_tensor([request.sampling.temperature or 1.0 for request in asked])
    sorted_BV, ids_BV = (logits_BV / temperature_B[:, None]).softmax(-1).sort(dim=-1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(-1) - sorted_BV
    top_p_B = logits_BV.new_tensor([request.sampling.top_p for request in asked])
    kept_BV = torch.where(before_BV < top_p_B[:, None], sorted_BV, 0.0)
    kept_BV[:, 0] = sorted_BV[:, 0]
    cumulative_BV = kept_BV.cumsum(-1)
    target_B = logits_BV.new_tensor(uniform) * cumulative_BV[:, -1]
    place_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True).clamp(max=kept_BV.shape[1] - 1)[:, 0]
    greedy_B = torch.tensor([request.sampling.temperature == 0 for request in asked], device=logits_BV.device)
    place_B = torch.where(greedy_B, 0, place_B)
    return list(ids_BV.gather(1, place_B[:, None])[:, 0].tolist())


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    found = {tokenizer.eos_token_id} | (set(ends) if isinstance(ends, list) else {ends})
    return {token for token in found if token is not None}


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
