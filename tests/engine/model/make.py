"""Makes the model of the engine suite, a folder of files as a hub has it: a Qwen3, small and with random weights.

Runs in the environment, with its transformers, tokenizers and safetensors. The same arguments make the same bytes.
"""

import argparse
import json
import pathlib

import tokenizers
import torch
import transformers
from safetensors.torch import save_file

# What ChatML, the format of Qwen3, needs.
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer():
    """One token for each byte: it knows any text, and needs no training."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    # Sorted, since the alphabet comes in no order.
    vocabulary = {token: number for number, token in enumerate(alphabet)}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in SPECIAL])
    return made


def write_json(path, content):
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def make(folder, layers, hidden, seed):
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    end, _, turn = (made.token_to_id(token) for token in SPECIAL)
    config = transformers.Qwen3Config(
        vocab_size=made.get_vocab_size(),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=turn,
    )
    config.architectures = ["Qwen3ForCausalLM"]
    config.dtype = "bfloat16"
    config.save_pretrained(folder)
    torch.manual_seed(seed)
    weights = transformers.Qwen3ForCausalLM(config).to(torch.bfloat16).state_dict()
    # The same tensor as the embedding; the format has each tensor once.
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    # It makes the file for its own user only.
    (folder / "model.safetensors").chmod(0o644)
    write_json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": turn})
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 2048,
            "chat_template": TEMPLATE,
        },
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--layers", type=int, default=2)
    arguments.add_argument("--hidden", type=int, default=128)
    arguments.add_argument("--seed", type=int, default=0)
    parsed = arguments.parse_args()
    make(parsed.folder, parsed.layers, parsed.hidden, parsed.seed)
