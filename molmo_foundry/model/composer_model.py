# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`ComposerMolmo`: the model as Composer trains it, registered as LLM-Foundry's model `molmo`."""

from typing import Any, Mapping, Optional, Sequence

import torch
from composer.models import HuggingFaceModel
from composer.utils import dist
from torch import Tensor
from torchmetrics import Metric
from transformers import PreTrainedTokenizerFast

from molmo_foundry.convert import load_llm, load_vit
from molmo_foundry.model.flops import attended_pairs, count_flops
from molmo_foundry.model.loss import LossWeights
from molmo_foundry.model.modeling import MolmoForCausalLM, MolmoOutput
from molmo_foundry.model.moe import choose_implementation
from molmo_foundry.model.presets import build_config
from molmo_foundry.train.activation_checkpointing import ActivationCheckpointing, checkpoint_blocks
from molmo_foundry.train.compilation import compile_all_blocks
from molmo_foundry.train.components import name_parameters
from molmo_foundry.train.freezing import apply_freezing
from molmo_foundry.train.lora import LoraSettings, add_lora
from molmo_foundry.train.metrics import eval_metrics
from molmo_foundry.train.pretrained import load_pretrained

INIT_DEVICES = ('cpu', 'meta', 'mixed')
ATTENTION = {'sdpa': 'sdpa', 'flex': 'flex_attention'}


class ComposerMolmo(HuggingFaceModel):
    """Molmo with the loss that training minimises: exact under any split into microbatches and ranks.

    `loss` is the mean over the weights of a microbatch; Composer, told these weights by the dataloader's
    `get_num_tokens_in_batch`, scales it to the mean over the global batch.

    Args:
        model (MolmoForCausalLM, optional): A model made elsewhere. Default: built from ``llm`` and ``vit``.
        tokenizer (PreTrainedTokenizerFast, optional): Checked against the model and saved in checkpoints.
        llm (str): Language-model preset; see `model.presets`.
        vit (str): Vision-tower preset.
        overrides (Mapping, optional): Fields of `MolmoConfig` that differ from the presets.
        llm_weights (str, optional): Directory or hub id of a language model to start from; see `convert.load_llm`.
        vit_weights (str, optional): Directory or hub id of a vision tower to start from; see `convert.load_vit`.
        attn_implementation (str): ``sdpa``, or ``flex`` for block-sparse masks on CUDA.
        moe_implementation (str): How experts are multiplied: ``torch``, or ``megablocks`` on CUDA; see
            `model.grouped_matmul`.
        z_loss_weight (float): Factor of the z-loss.
        freeze (Sequence[str]): Components that are not trained: ``llm``, ``vit``, ``connector``.
        train_embedding (str): Which ends of the language model are trained; see `train.freezing`.
        init_device (str): ``cpu``; ``meta`` (parameters are made after sharding, CUDA only); or ``mixed`` (rank 0 on
            the CPU, the others on meta, which FSDP fills from rank 0).
        pretrained (str, optional): Checkpoint of a whole Molmo whose weights are loaded; see `train.pretrained`.
        lora (Mapping, optional): Low-rank updates instead of whole matrices; see `train.lora`.
        activation_checkpointing (Mapping, optional): Blocks that are recomputed in the backward pass; see
            `train.activation_checkpointing`.
        compile_blocks (bool): Whether decoder and ViT blocks are compiled; see `train.compilation`.
    """

    def __init__(
        self,
        model: Optional[MolmoForCausalLM] = None,
        *,
        tokenizer: Optional[PreTrainedTokenizerFast] = None,
        llm: str = 'qwen2_7b',
        vit: str = 'openai',
        overrides: Optional[Mapping[str, Any]] = None,
        llm_weights: Optional[str] = None,
        vit_weights: Optional[str] = None,
        attn_implementation: str = 'sdpa',
        moe_implementation: str = 'torch',
        z_loss_weight: float = 1e-4,
        freeze: Sequence[str] = (),
        train_embedding: str = 'lm_head',
        init_device: str = 'cpu',
        pretrained: Optional[str] = None,
        lora: Optional[Mapping[str, Any]] = None,
        activation_checkpointing: Optional[Mapping[str, Any]] = None,
        compile_blocks: bool = False,
    ):
        if attn_implementation not in ATTENTION:
            raise ValueError(
                f'model.attn_implementation={attn_implementation!r} does not exist; choose one of: '
                f'{", ".join(ATTENTION)}.'
            )
        if init_device not in INIT_DEVICES:
            raise ValueError(f'model.init_device={init_device!r} does not exist; choose one of: cpu, meta, mixed.')
        if model is None:
            config = build_config(llm, vit, **(overrides or {}))
            on_cpu = init_device == 'cpu' or (init_device == 'mixed' and dist.get_global_rank() == 0)
            with torch.device('cpu' if on_cpu else 'meta'):
                model = MolmoForCausalLM(config)
        if init_device == 'meta' and (pretrained or lora or llm_weights or vit_weights):
            raise ValueError(
                'model.init_device=meta makes new weights; use mixed (or cpu) with pretrained, llm_weights, '
                'vit_weights or lora.'
            )
        for load, source in ((load_llm, llm_weights), (load_vit, vit_weights)):
            if source and not next(model.parameters()).is_meta:
                load(model, source)
        if pretrained and not next(model.parameters()).is_meta:
            load_pretrained(model, pretrained)
        model.config._attn_implementation = ATTENTION[attn_implementation]
        choose_implementation(model, moe_implementation)
        super().__init__(model, tokenizer=tokenizer, shift_labels=True)
        self.molmo_config = model.config
        self.z_loss_weight = z_loss_weight
        apply_freezing(model, freeze=freeze, embedding=train_embedding)
        if lora:
            add_lora(model, LoraSettings.parse(lora))
        name_parameters(self)
        if compile_blocks:
            compile_all_blocks(model)
        if activation_checkpointing:
            checkpoint_blocks(model, ActivationCheckpointing.parse(activation_checkpointing))

    def _check_tokenizer_and_maybe_resize_embeddings(self, allow_embedding_resizing: bool) -> None:
        """Checks that the image tokens are where the model has their embeddings, beside the tokenizer's own ids.

        Args:
            allow_embedding_resizing (bool): Composer's; Molmo's tables are never resized.

        Raises:
            ValueError: If the tokenizer belongs to another model.
        """
        del allow_embedding_resizing
        if self.tokenizer is None:
            return
        expected_ids: dict[str, int] = self.config.image_token_ids  # type: ignore[attr-defined]
        for token, expected in expected_ids.items():
            actual = self.tokenizer.convert_tokens_to_ids(token)
            if actual != expected:
                raise ValueError(
                    f'The tokenizer has {token} at id {actual}, but this model at {expected}. Use the tokenizer that '
                    'belongs to model.llm, or set model.overrides.image_token_start.'
                )

    def forward(self, batch: Mapping[str, Any]) -> MolmoOutput:
        """Runs the model on a batch; with labels it computes the loss, without them logits."""
        inputs = {key: value for key, value in batch.items() if key in self.model_forward_args}
        if 'loss_weights' in inputs:
            inputs['loss_weights'] = LossWeights(inputs['loss_weights'])
        return self.model(**inputs, z_loss_scale=self.z_loss_weight)

    def eval_forward(self, batch: Mapping[str, Any], outputs: Optional[MolmoOutput] = None) -> MolmoOutput:
        """The same forward pass for evaluation."""
        return self.forward(batch) if outputs is None else outputs

    def loss(self, outputs: MolmoOutput, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """Means over the loss weights of this microbatch.

        Args:
            outputs (MolmoOutput): From `forward`.
            batch (Mapping): The microbatch; not read.

        Returns:
            dict[str, Tensor]: ``total`` is minimised; ``ce``, ``z_loss`` and ``accuracy`` are logged beside it, and of
            a mixture of experts in training ``moe_load_balance``, ``moe_z_loss`` and the load of the fullest and the
            emptiest expert of any layer, ``moe_max_load`` and ``moe_min_load``; 1 is an even share.
        """
        del batch
        sums = outputs.loss_sums
        if sums is None or outputs.loss is None:
            raise ValueError('The batch has no labels, so there is no loss.')
        weight = sums.weight.clamp(min=torch.finfo(torch.float32).tiny)
        losses = {
            'total': outputs.loss,
            'ce': sums.ce.detach() / weight,
            'z_loss': sums.z_loss.detach() / weight,
            'accuracy': sums.correct / weight,
        }
        if (router := outputs.router_losses) is not None:
            losses |= {
                'moe_load_balance': router.load_balance.detach(),
                'moe_z_loss': router.z_loss.detach(),
                'moe_max_load': router.load.max(),
                'moe_min_load': router.load.min(),
            }
        return losses

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        """Metrics of held-out data; none while training, whose losses are logged as they are."""
        return {} if is_train else eval_metrics()

    def update_metric(self, batch: Mapping[str, Any], outputs: MolmoOutput, metric: Metric) -> dict[str, Any]:
        """Adds a batch of held-out data to a metric."""
        metric.update(batch, outputs.loss_sums)
        return {}

    def flops_per_batch(self, batch: Mapping[str, Any]) -> float:
        """FLOPs of a training step on a full batch, padding not counted; Composer's speed monitor reads it."""
        flops = count_flops(
            self.molmo_config,
            tokens=int((batch['input_ids'] >= 0).sum()),
            pairs=attended_pairs(batch['segment_ids']),
            loss_tokens=int((batch['loss_weights'] > 0).sum()),
            crops=int((batch['image_input_idx'] >= 0).any(-1).sum()),
            pooled_tokens=int((batch['image_input_idx'] >= 0).sum()),
        )
        return flops.training_step
