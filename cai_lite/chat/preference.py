"""Preference models: a LoRA adapter with a score head gives each answer one number, higher for better ones.

`PreferenceModel.scores` is what best-of-n, rewards and guards read. It is a chat model, too, so that it can judge
wherever a judge is named: a request in the wording "scored" holds a prompt, one answer or two, and a principle as
messages, and the reply is a verdict with its log-probabilities. It answers nothing else.

A score s is calibrated on held-out labels: sigmoid((s - bias) / temperature) is the probability that an answer is good,
and sigmoid((s - s') / temperature) that it is better than another one to the same prompt.

Source: Bai et al. 2022, arXiv:2204.05862, section 2 (preference models); Guo et al. 2017, arXiv:1706.04599
(temperature).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cai_lite.chat.base import SystemMessage, settings_digest
from cai_lite.chat.capacity import SMALL, is_out_of_memory, release
from cai_lite.chat.rendering import read_template
from cai_lite.chat.turns import Turns
from cai_lite.chat.weights import (
    Load,
    adapter_digest,
    adapter_folder,
    base_record,
    load_peft,
    open_weights,
    random_state_kept,
    weights_digest,
)
from cai_lite.errors import InputError, ModelError
from cai_lite.records import Message, Messages, Reply, Request, digest

CALIBRATION = "temperature.json"  # its name in the folder of the adapter
ANSWER, PRINCIPLE = "candidate", "principle"  # roles of messages that only a preference model is asked with
KEEPS, BREAKS, FIRST, SECOND = "yes", "no", "A", "B"  # the words of its verdicts
_LINE = "Rules:\n- {text}"  # as a student is told a constitution, see `distill.wording`


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What turns a score into a probability, stored as temperature.json in the folder of the adapter.

    `temperature`: above 0; `bias`: the score of an answer that is as likely good as not. `input`: "joint" where the
    model reads prompt and answer, "principle" where it also reads the text of one principle. `principles`: texts by id,
    those that the model was trained on. `n`: number of held-out examples that temperature and bias were fitted on; 0
    where there were none, and the temperature is 1. `figures`: how well the probabilities fit, see
    `training.calibration`.
    """

    temperature: float = 1.0
    bias: float = 0.0
    input: Literal["joint", "principle"] = "joint"
    principles: Mapping[str, str] = field(default_factory=dict)
    n: int = 0
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return the text of temperature.json."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def read_calibration(adapter: str | Path) -> Calibration:
    """Return the calibration of an adapter; without a file, that of scores as they are, as other programs train them.

    Raises:
        ModelError: the file cannot be read.
    """
    file = Path(adapter) / CALIBRATION
    if not file.is_file():
        return Calibration()
    try:
        found = Calibration(**json.loads(file.read_text(encoding="utf-8")))
        if not (found.temperature > 0 and math.isfinite(found.temperature) and math.isfinite(found.bias)):
            raise ValueError(f"temperature {found.temperature}, bias {found.bias}")
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read ({error}); put back a copy, or train again") from error
    return found


def is_preference_adapter(adapter: str | Path) -> bool:
    """Return whether the adapter in a folder is that of a preference model: its task is sequence classification."""
    file = Path(adapter) / "adapter_config.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8"))).get("task_type") == "SEQ_CLS"
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def with_principle(prompt: Messages, text: str) -> Messages:
    """Return the prompt with the text of a principle in its system message, before anything else that stands there."""
    line = _LINE.format(text=text)
    if prompt and prompt[0].role == "system":
        return (Message("system", f"{line}\n\n{prompt[0].content}"), *prompt[1:])
    return (Message("system", line), *prompt)


def scored_request(prompt: Messages, answers: Sequence[str], principle: str) -> Messages:
    """Return the messages that ask a preference model about one answer to a prompt, or about two.

    `principle`: the text of the principle.
    """
    return (*prompt, *(Message(ANSWER, text) for text in answers), Message(PRINCIPLE, principle))


def open_preference_model(
    model: str,
    adapter: str | Path,
    *,
    load: Load | None = None,
    template: Mapping[str, Any] | None = None,
    system: SystemMessage = "keep",
) -> PreferenceModel:
    """Open a preference model: `model` as `cai.open_model` takes it, and the folder of its adapter.

    Nothing is loaded before the first score.

    Raises:
        ModelError: the folder holds no adapter, or one without a score head.
    """
    return PreferenceModel(model, adapter, load=load, template=template, system=system)


class PreferenceModel:
    """A model that scores answers, on this machine; weights are loaded at the first score.

    `template`: variables of the chat template; None takes those that the adapter was trained with. `system` as
    `cai.open_model` takes it. `tokens_per_batch`: limit of the tokens of a pass, padding included.
    """

    wording: Literal["scored"] = "scored"

    def __init__(
        self,
        model: str,
        adapter: str | Path,
        *,
        load: Load | None = None,
        template: Mapping[str, Any] | None = None,
        system: SystemMessage = "keep",
        tokens_per_batch: int = SMALL,
    ) -> None:
        folder = adapter_folder(adapter)
        if not is_preference_adapter(folder):
            raise ModelError(
                f"{folder} is not the adapter of a preference model (its task_type is not SEQ_CLS); train one with "
                "--method preference_model"
            )
        self.model, self.adapter, self.load, self.system = model, folder, load, system
        self.name = f"{model}#{folder.parent.name}/{folder.name}"
        self.template = dict(read_template(folder) if template is None else template)
        self.calibration = read_calibration(folder)
        asked = settings_digest(template=self.template, system=system)
        self.digest = digest("preference", weights_digest(model), load or "auto", adapter_digest(folder), *asked)
        self.tokens_per_batch = tokens_per_batch
        self._opened: tuple[Any, Turns, int] | None = None

    def scores(
        self, prompts: Sequence[Messages], completions: Sequence[str], principle: str | None = None
    ) -> list[float]:
        """Return the score of each completion as the answer to its prompt, divided by the temperature.

        Higher is better. The difference of two scores of a prompt is the log-odds that the first answer is the better
        one, in nats.
        `principle`: the text or id of the principle to judge by. A model that was trained with principles needs one, or
        takes the mean over all of them; any other ignores it.

        Raises:
            ModelError: the model cannot be opened, or an answer does not fit into its context.
        """
        if self.calibration.input == "principle" and principle is None:
            texts = list(self.calibration.principles.values())
            if not texts:
                raise ModelError(f"{self.name}: it was trained with principles, and {CALIBRATION} names none")
            many = [prompt for prompt in prompts for _ in texts]
            found = self._scored(many, [c for c in completions for _ in texts], texts * len(prompts))
            k = len(texts)
            raw = [sum(found[i * k : (i + 1) * k]) / k for i in range(len(prompts))]
        else:
            raw = self._scored(prompts, completions, [principle or ""] * len(prompts))
        return [score / self.calibration.temperature for score in raw]

    def p_good(
        self, prompts: Sequence[Messages], completions: Sequence[str], principle: str | None = None
    ) -> list[float]:
        """Return the calibrated probability, 0 to 1, that each completion is good; arguments as for `scores`."""
        shift = self.calibration.bias / self.calibration.temperature
        return [_sigmoid(score - shift) for score in self.scores(prompts, completions, principle)]

    def answer(self, requests: Sequence[Request]) -> Iterator[dict[int, Reply]]:
        """Answer requests in the wording "scored", see `scored_request`: one word, with the options' log-probabilities.

        At a temperature above 0 the word is drawn, from a random number of the request's key.

        Raises:
            ModelError: a request asks for anything else, or the model cannot be opened.
        """
        asked = [_parts(request.messages, self.name) for request in requests]
        prompts = [prompt for prompt, answers, _ in asked for _ in answers]
        principles = [principle for _, answers, principle in asked for _ in answers]
        found = iter(self._scored(prompts, [text for _, answers, _ in asked for text in answers], principles))
        bias, temperature = self.calibration.bias, self.calibration.temperature
        replies = {}
        for i, (request, (_, answers, _)) in enumerate(zip(requests, asked, strict=True)):
            own = [next(found) for _ in answers]
            logit = (own[0] - (own[1] if len(own) > 1 else bias)) / temperature
            words = (FIRST, SECOND) if len(own) > 1 else (KEEPS, BREAKS)
            p = _sigmoid(logit)
            draw = int(digest("draw", request.key(self.digest))[:13], 16) / 16**13
            word = words[0] if (draw < p if request.sampling.temperature > 0 else p >= 0.5) else words[1]
            known = {words[0]: -_softplus(-logit), words[1]: -_softplus(logit)}
            given = known if request.options and set(request.options) <= known.keys() else None
            replies[i] = Reply(text=word, log_probs=given, tokens_out=1)
        yield replies

    def opened(self) -> tuple[Any, Turns, int]:
        """Return the peft model, the turns of its tokenizer and the padding token, loading them at the first call."""
        if self._opened is None:
            from cai_lite.logps.fused import fuse

            weights, tokenizer = open_weights(self.model, load=self.load)
            base = base_record(self.model, weights.config, tokenizer)
            model = with_score(weights, self.adapter, base=base)
            fuse(model)
            turns = Turns.of_model(model, tokenizer, template=self.template, system=self.system)
            self._opened = model.eval(), turns, tokenizer.pad_token_id
        return self._opened

    def close(self) -> None:
        """Release the weights. The model stays usable: the next request loads them again."""
        self._opened = None

    def text_of(self, principle: str) -> str:
        """Return the text of a principle that is given by its id or its text."""
        return self.calibration.principles.get(principle, principle)

    def _scored(self, prompts: Sequence[Messages], texts: Sequence[str], principles: Sequence[str]) -> list[float]:
        """Return the raw scores, in order, computed in passes of similar length."""
        import torch

        from cai_lite.logps.head import completion_scores
        from cai_lite.logps.layout import pack

        if len(prompts) != len(texts):
            raise InputError(
                f"{len(prompts)} prompts and {len(texts)} completions; give one prompt for each completion"
            )
        if not prompts:
            return []
        model, turns, pad = self.opened()
        if self.calibration.input == "principle":
            asked = [with_principle(p, self.text_of(rule)) for p, rule in zip(prompts, principles, strict=True)]
        else:
            asked = list(prompts)
        rows = []
        for prompt, text in zip(asked, texts, strict=True):
            cut = turns.split(prompt, [(Message("assistant", text),)])
            rows.append((tuple(cut.prompt_ids), tuple(cut.completions[0])))
        widths = [len(prompt) + len(completion) for prompt, completion in rows]
        context = getattr(model.config, "max_position_embeddings", None)
        if context is not None and max(widths) > context:
            raise ModelError(f"{self.name}: an answer with its prompt has {max(widths)} tokens; it reads {context}")
        distinct = sorted(set(rows), key=lambda row: (-len(row[0]) - len(row[1]), row))
        known: dict[Any, float] = {}
        device, limit = model.get_input_embeddings().weight.device, self.tokens_per_batch
        while distinct:
            many = max(1, limit // (len(distinct[0][0]) + len(distinct[0][1])))
            part = distinct[:many]
            packed = pack(part, "plain", pad_token_id=pad, device=device, whole=True)
            try:
                with torch.inference_mode():
                    found = completion_scores(model, packed).tolist()
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(part) == 1:
                    raise
                limit = limit // 2
                release(device)
                continue
            known.update(zip(part, found, strict=True))
            distinct = distinct[many:]
        return [known[row] for row in rows]


def with_score(
    weights: Any, adapter: str | Path, *, base: Mapping[str, Any] | None = None, trainable: bool = False
) -> Any:
    """Return the model with a score head and the adapter of this folder, which holds the head's weights.

    Raises:
        ModelError: as `load_peft`.
    """
    from cai_lite.logps.head import add_score

    with random_state_kept():
        add_score(weights)
    return load_peft(weights, adapter, base=base, trainable=trainable)


def _parts(messages: Messages, name: str) -> tuple[Messages, list[str], str]:
    """Return prompt, answers and principle of a request."""
    answers = [message.content for message in messages if message.role == ANSWER]
    if not 1 <= len(answers) <= 2 or messages[-1].role != PRINCIPLE:
        raise ModelError(
            f"{name} is a preference model: it scores answers, and can be asked nothing else; name a chat model here"
        )
    return tuple(m for m in messages if m.role not in (ANSWER, PRINCIPLE)), answers, messages[-1].content


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _sigmoid(x: float) -> float:
    return math.exp(-_softplus(-x))
