# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a device reaches, decoding, and experts by themselves, for `gpu_step.py`."""

import statistics
import time
from typing import Any, Callable

import torch
from torch import Tensor

from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.modeling import MolmoForCausalLM
from molmo_foundry.model.moe import MixtureOfExperts, choose_implementation

ROUNDS = 5


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """Median wall time of a call, after two that do not count."""
    times = []
    for _ in range(2 + ROUNDS):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize()


def device_rates(edge: int, device: torch.device) -> tuple[float, float]:
    """FLOPs a second of a bfloat16 product of two square matrices, and bytes a second of a copy, read and written.

    Args:
        edge (int): Of the matrices; what is copied is 16 times as large as one of them.
        device (torch.device): Where.
    """
    left, right = (torch.randn(edge, edge, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = left.expand(16, -1, -1).contiguous()
    target = torch.empty_like(source)
    product = 2 * edge**3 / seconds_of(lambda: left @ right, device)
    return product, 2 * source.nbytes / seconds_of(lambda: target.copy_(source), device)


def decoding_rate(config: MolmoConfig, rows: int, prompt: int, new: int, device: torch.device) -> tuple[float, float]:
    """Tokens a second that greedy decoding writes with a static cache, and the bytes a second that weights alone take.

    The prompt's pass is taken off by the time of a call that writes one token only.

    Args:
        config (MolmoConfig): The model, which is run in bfloat16.
        rows (int): Prompts at a time.
        prompt (int): Tokens of a prompt.
        new (int): Tokens that are written; at least 2.
        device (torch.device): Where.
    """
    torch.manual_seed(0)
    with torch.device(device):
        model: Any = MolmoForCausalLM(config)
    model.to(torch.bfloat16).eval()
    ids = torch.randint(config.vocab_size, (rows, prompt), device=device)

    def generate(count: int) -> Tensor:
        options = {'min_new_tokens': count, 'max_new_tokens': count, 'do_sample': False, 'pad_token_id': 0}
        return model.generate(ids, cache_implementation='static', eos_token_id=1, **options)

    spent = seconds_of(lambda: generate(new), device) - seconds_of(lambda: generate(1), device)
    decoder = model.model.transformer
    read = sum(p.nbytes for module in (decoder.blocks, decoder.ln_f, decoder.head) for p in module.parameters())
    return rows * (new - 1) / spent, read * (new - 1) / spent


def experts_rate(config: MolmoConfig, tokens: int, implementation: str, device: torch.device) -> tuple[float, float]:
    """Tokens a second of a forward and backward pass of one layer of experts in bfloat16, and its FLOPs a second.

    Args:
        config (MolmoConfig): A mixture of experts.
        tokens (int): That the router, with random weights, sends to experts.
        implementation (str): ``torch`` or ``megablocks``.
        device (torch.device): Where.

    Raises:
        ImportError: If the implementation needs packages that are not installed.
    """
    torch.manual_seed(0)
    layer = MixtureOfExperts(config)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    layer.to(device, torch.bfloat16)
    choose_implementation(layer, implementation)
    x = torch.randn(1, tokens, config.hidden_size, device=device, dtype=torch.bfloat16, requires_grad=True)
    rate = tokens / seconds_of(lambda: layer(x).sum().backward(), device)
    inner = config.intermediate_size // 2
    return rate, rate * 3 * 2 * 3 * config.moe_top_k * inner * config.hidden_size
