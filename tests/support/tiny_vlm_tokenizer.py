"""The tokenizer and the chat templates of the tiny vision-language models."""

from __future__ import annotations

from typing import Any

_WORDS = (
    "Who floats in the cabin? How many astronauts are visible in the video? Two people wave at the camera. Describe in "
    "one or two sentences what the people in this video do, and where they are. Answer in a few words. If the video "
    "does not show it, answer: Not mentioned. The crew works near a window. USER ASSISTANT system user assistant: "
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "{{ part['text'] }}{% elif part['type'] == 'video' %}VIDEO{% else %}IMAGE{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Like the LLaVA checkpoints: there is no system turn, and the text of unknown roles is dropped.
VICUNA = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'video' %}VIDEO\n{% else %}IMAGE\n"
    "{% endif %}{% endfor %} {% elif message['role'] == 'assistant' %}ASSISTANT: {{ message['content'][0]['text'] }}"
    "</s>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def tokenizer(specials: list[str], eos: str, pad: str, **more: Any) -> Any:
    """Return a byte-level BPE tokenizer with a few hundred tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([_WORDS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=eos, pad_token=pad, padding_side="left", model_max_length=32768, **more
    )


def fill_template(template: str, video: str, image: str) -> str:
    """Insert the placeholders of a family."""
    return template.replace("VIDEO", video).replace("IMAGE", image)
