# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""`MolmoForCausalLM`: the whole model as transformers sees it, generation included.

Images come in one of two layouts, with equal results:

- ragged, as our dataloader makes them: ``images`` (crops of the whole batch, N, patch pixels) with ``crop_counts``,
  crops per row;
- padded, as released processors make them: ``images`` (B, C, N, patch pixels), missing crops filled with −1.

Shapes: B rows, T tokens, C crops, N patches, P pooled tokens of a crop, V rows of the embedding table.
"""

from dataclasses import dataclass
from typing import Any, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoProcessor,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.cache_utils import Cache, DynamicCache
from transformers.utils import ModelOutput

from molmo_foundry.model.attention import build_attention_mask, rotary_cos_sin, segment_positions
from molmo_foundry.model.config import MolmoConfig
from molmo_foundry.model.connector import VisionBackbone
from molmo_foundry.model.decoder import Decoder, DecoderBlock, LayerContext
from molmo_foundry.model.init import init_module, plan_linears
from molmo_foundry.model.layout import left_align, pad_crops, ragged_images
from molmo_foundry.model.loss import LossSums, LossWeights, weighted_loss
from molmo_foundry.model.moe import RouterLosses, RouterRecord
from molmo_foundry.model.vit import ViTBlock
from molmo_foundry.processing.hf_processor import MolmoImageProcessor, MolmoProcessor


@dataclass
class MolmoOutput(ModelOutput):
    """What `MolmoForCausalLM` returns.

    Attributes:
        loss: Weighted mean of cross-entropy plus z-loss, plus the routers' losses while training, if labels were given.
        logits: (B, T or fewer, V); None if labels were given, for the loss needs no more than its own positions.
        past_key_values: The cache.
        hidden_states: (B, T, D) after the final norm.
        loss_sums: The loss as sums over positions.
        router_losses: What the routers of a mixture of experts add to the loss; while training only.
    """

    loss: Optional[Tensor] = None
    logits: Optional[Tensor] = None
    past_key_values: Optional[Cache] = None
    hidden_states: Optional[Tensor] = None
    loss_sums: Optional[LossSums] = None
    router_losses: Optional[RouterLosses] = None


class MolmoModel(nn.Module):
    """Decoder and vision backbone under the names that released checkpoints use."""

    def __init__(self, config: MolmoConfig):
        super().__init__()
        self.transformer = Decoder(config)
        self.vision_backbone = VisionBackbone(config)


def _is_molmoe(name_or_path: Any, options: dict[str, Any]) -> bool:
    """Whether a directory or repository is in MolmoE-1B's layout, whose configuration is written in native terms."""
    config, _ = MolmoConfig.get_config_dict(name_or_path, **options)
    return 'd_model' in config


class MolmoForCausalLM(PreTrainedModel, GenerationMixin):
    """Molmo with its language-model head.

    Args:
        config (MolmoConfig): The architecture. ``attn_implementation`` (``sdpa`` or ``flex_attention``, an argument of
            `from_pretrained`) chooses the backend.
    """

    config: MolmoConfig
    config_class = MolmoConfig
    base_model_prefix = 'model'
    main_input_name = 'input_ids'
    _no_split_modules = ['DecoderBlock', 'ViTBlock']
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_cache_class = True

    def __init__(self, config: MolmoConfig):
        super().__init__(config)
        # A compiled step has fixed shapes; how many tokens an expert gets is not known beforehand.
        self._supports_static_cache = not config.moe_num_experts
        self.model = MolmoModel(config)
        self._freeze_unused_vit_blocks()
        plan_linears(self, config)
        self.post_init()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Loads a directory or hub repository: ours, or a released Molmo's, MolmoE-1B's own layout included.

        Args:
            pretrained_model_name_or_path (str, optional): Where to load from. Code that lies there is never run.
            *args: Passed on to transformers.
            **kwargs: Passed on too: ``torch_dtype``, ``device_map``, ``revision``, …

        Returns:
            MolmoForCausalLM: The model in evaluation mode; see transformers for ``output_loading_info``.
        """
        if pretrained_model_name_or_path is None or not _is_molmoe(pretrained_model_name_or_path, kwargs):
            return super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        from molmo_foundry.convert.release import load_molmoe  # `convert` builds on `model`

        source, config = str(pretrained_model_name_or_path), kwargs.pop('config', None)
        if config is None:
            loaded: Any = cls.config_class.from_pretrained(source, return_unused_kwargs=True, **kwargs)
            config, kwargs = loaded
        state = load_molmoe(source, config, **kwargs)
        return super().from_pretrained(None, *args, config=config, state_dict=state, **kwargs)

    def _init_weights(self, module: nn.Module) -> None:
        init_module(module, self.config)

    def _freeze_unused_vit_blocks(self) -> None:
        """Blocks after the last chosen one never get a gradient, which DDP and checkpoint resume would trip over."""
        blocks = self.model.vision_backbone.image_vit.transformer.resblocks
        last = max(layer % len(blocks) for layer in self.config.connector.vit_layers)
        blocks[last + 1 :].requires_grad_(False)

    def get_input_embeddings(self) -> nn.Module:
        """The input table."""
        return self.model.transformer.wte

    @staticmethod
    def is_block(module: nn.Module) -> bool:
        """Whether ``module`` is a repeated block of the decoder or the ViT."""
        return isinstance(module, (DecoderBlock, ViTBlock))

    def fsdp_wrap_fn(self, module: nn.Module) -> bool:
        """Units of sharding: decoder blocks, ViT blocks, and the connector's pooling and projector."""
        connector = {id(m) for name, m in self.model.vision_backbone.named_children() if name.startswith('image_p')}
        return self.is_block(module) or id(module) in connector

    def activation_checkpointing_fn(self, module: nn.Module) -> bool:
        """Units of activation checkpointing: decoder blocks and ViT blocks."""
        return self.is_block(module)

    def param_init_fn(self, module: nn.Module) -> None:
        """Initialises ``module`` off the meta device; Composer calls it for each module that holds parameters."""
        init_module(module, self.config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        segment_ids: Optional[Tensor] = None,
        subsegment_ids: Optional[Tensor] = None,
        images: Optional[Tensor] = None,
        image_masks: Optional[Tensor] = None,
        image_input_idx: Optional[Tensor] = None,
        crop_counts: Optional[Union[Sequence[int], Tensor]] = None,
        labels: Optional[Tensor] = None,
        loss_weights: Optional[Union[Tensor, LossWeights]] = None,
        z_loss_scale: float = 0.0,
        past_key_values: Optional[Cache] = None,
        cache_position: Optional[Tensor] = None,
        use_cache: Optional[bool] = None,
        logits_to_keep: Union[int, Tensor] = 0,
        **_: Any,
    ) -> MolmoOutput:
        """Runs the model.

        Args:
            input_ids (Tensor): (B, T) token ids; negative = padding.
            attention_mask (Tensor, optional): (B, cached + T), 0 = padding; may be longer, as a static cache is.
                Default: all cached tokens, and where ``input_ids`` is not negative.
            position_ids (Tensor, optional): (B, T). Default: the number of earlier tokens that a token sees.
            segment_ids (Tensor, optional): (B, T), see `model.attention`; not with a cache.
            subsegment_ids (Tensor, optional): The released name of ``segment_ids``.
            images (Tensor, optional): Ragged or padded crops, float (normalised) or uint8.
            image_masks (Tensor, optional): Share of real pixels of each patch; like ``images`` less the last dimension.
            image_input_idx (Tensor, optional): (crops, P) or (B, C, P) position in its row of each pooled token;
                negative = drop.
            crop_counts (list[int], optional): Crops of each row; says that ``images`` is ragged.
            labels (Tensor, optional): (B, T) token that each position predicts: aligned, not to be shifted.
            loss_weights (Tensor | LossWeights, optional): (B, T). Default: 1 where ``labels`` is not negative.
            z_loss_scale (float): Factor of the z-loss in ``loss``.
            past_key_values (Cache, optional): Keys and values of earlier tokens; images belong to the first call only.
            cache_position (Tensor, optional): (T,) index of the tokens in the cache.
            use_cache (bool, optional): Whether to return a cache. Default: only if one was given.
            logits_to_keep (int | Tensor): Compute logits for this many last positions only; 0 for all.

        Returns:
            MolmoOutput: Logits, or the loss if ``labels`` were given.
        """
        if segment_ids is None:
            segment_ids = subsegment_ids
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache()
        if segment_ids is not None and past_key_values is not None:
            raise ValueError('segment_ids cannot be combined with a key-value cache; generate from one conversation.')
        if attention_mask is None or cache_position is None:  # `generate` gives both: a compiled step may not ask
            past = 0 if past_key_values is None else int(past_key_values.get_seq_length())
            if attention_mask is None:
                attention_mask = F.pad(input_ids >= 0, (past, 0), value=True)
            if cache_position is None:
                cache_position = torch.arange(past, past + input_ids.shape[1], device=input_ids.device)
        if position_ids is None and segment_ids is not None:
            position_ids = segment_positions(segment_ids)
        elif position_ids is None:
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)[:, cache_position]
        mask = self._attention_mask(segment_ids, attention_mask > 0, past_key_values, cache_position)

        transformer = self.model.transformer
        x = transformer.wte(input_ids.clamp(min=0))
        if images is not None:
            x = self._add_images(x, images, image_masks, image_input_idx, crop_counts)
        if isinstance(loss_weights, LossWeights):
            loss_weights = loss_weights.values
        if labels is not None and loss_weights is None:
            loss_weights = (labels >= 0).float()
        cos, sin = rotary_cos_sin(position_ids.clamp(min=0), self.config.head_dim, self.config.rope_theta)
        response_mask = None if loss_weights is None else loss_weights > 0
        records = self.training and labels is not None and self.config.moe_num_experts > 0
        routing = RouterRecord((input_ids >= 0).flatten()) if records else None
        context = LayerContext(cos, sin, mask, response_mask, past_key_values, cache_position, routing)
        hidden = transformer(x, context)

        output = MolmoOutput(past_key_values=past_key_values, hidden_states=hidden)
        if labels is None:
            keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            output.logits = transformer.logits(hidden[:, keep])
            return output
        assert loss_weights is not None
        states = hidden * transformer.logit_scale
        sums = weighted_loss(states, transformer.head, labels, loss_weights, z_scale=z_loss_scale)
        output.loss_sums = sums
        output.loss = (sums.ce + sums.z_loss) / sums.weight.clamp(min=torch.finfo(torch.float32).tiny)
        if routing is not None:
            output.router_losses = routing.losses(self.config)
            output.loss = output.loss + output.router_losses.load_balance + output.router_losses.z_loss
        return output

    def _attention_mask(
        self,
        segment_ids: Optional[Tensor],
        real: Tensor,
        cache: Optional[Cache],
        cache_position: Tensor,
    ) -> Any:
        """The mask of this pass from ``segment_ids`` (B, T) or ``real`` (B, cached + T), True at real tokens."""
        backend = 'flex' if self.config._attn_implementation == 'flex_attention' else 'sdpa'
        if segment_ids is not None:
            return build_attention_mask(segment_ids * real, backend=backend)
        if cache is None:
            return build_attention_mask(None if real.all() else real.long(), backend=backend)
        length = cache.get_max_cache_shape() or None
        first_or_single = len(cache_position) in (real.shape[1], 1)
        if length is None and first_or_single and real.all():
            return None
        return build_attention_mask(real.long(), query_positions=cache_position, num_keys=length)

    def _add_images(
        self,
        x: Tensor,
        images: Tensor,
        masks: Optional[Tensor],
        input_idx: Optional[Tensor],
        crop_counts: Optional[Union[Sequence[int], Tensor]],
    ) -> Tensor:
        """Adds image features to the embeddings ``x`` (B, T, D) at the positions of their tokens."""
        if input_idx is None:
            raise ValueError('images were given without image_input_idx, which says where their tokens stand.')
        if images.dim() == 4:
            images, masks, input_idx, crop_counts = ragged_images(images, masks, input_idx)
        if crop_counts is None:
            raise ValueError('images of shape (crops, patches, pixels) need crop_counts, the crops of each row.')
        counts = crop_counts.tolist() if isinstance(crop_counts, Tensor) else list(crop_counts)
        if len(counts) != len(x) or sum(counts) != len(images):
            raise ValueError(f'crop_counts={counts} do not fit {len(x)} rows and {len(images)} crops.')
        if not len(images):
            return x
        if int(input_idx.max()) >= x.shape[1]:
            raise ValueError(f'image_input_idx goes up to {int(input_idx.max())}, but a row has {x.shape[1]} tokens.')
        rows = torch.arange(len(x)).repeat_interleave(torch.tensor(counts)).to(x.device)
        targets = torch.where(input_idx >= 0, rows[:, None] * x.shape[1] + input_idx, -1).flatten()
        slots = (targets >= 0).nonzero().squeeze(1)
        if not len(slots):  # a dummy image: run everything, add nothing
            slots = slots.new_zeros(1)
        targets = targets[slots]
        features = self.model.vision_backbone(images, masks, slots).to(x.dtype) * (targets >= 0)[:, None]
        return x.flatten(0, 1).index_add(0, targets.clamp(min=0), features).view_as(x)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: Optional[Cache] = None,
        attention_mask: Optional[Tensor] = None,
        cache_position: Optional[Tensor] = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Inputs of one decoding step: the new tokens, and the images in the first step only."""
        if past_key_values is not None and cache_position is not None:
            new = len(cache_position)
            if new < input_ids.shape[1]:
                for name in ('images', 'image_masks', 'image_input_idx', 'crop_counts'):
                    kwargs.pop(name, None)
            # Under FSDP the steps go on after this rank's last token, so these are not the tokens at cache_position.
            input_ids = input_ids[:, -new:].clone(memory_format=torch.contiguous_format)
            length = past_key_values.get_max_cache_shape()
            if length and attention_mask is not None:  # one shape for all steps, so that they are compiled once
                attention_mask = F.pad(attention_mask, (0, length - attention_mask.shape[1]))
        kwargs.pop('position_ids', None)  # counted from the attention mask, which grows with every step
        return {
            'input_ids': input_ids,
            'attention_mask': attention_mask,
            'past_key_values': past_key_values,
            'cache_position': cache_position,
            **kwargs,
        }

    @torch.no_grad()
    def generate(self, inputs: Optional[Tensor] = None, **kwargs: Any) -> Any:
        """Continues prompts; transformers' own `generate` with Molmo's inputs.

        Right-padded prompts are moved to the right edge first, since new tokens are appended there, and ragged images
        are padded, so that beams may copy rows.

        If the weights are sharded by FSDP2, every rank calls this at the same time, all with images or all without:
        ranks that are done go through the motions until the last one is.

        Args:
            inputs (Tensor, optional): (B, T) prompt ids; also accepted as ``input_ids``.
            **kwargs: ``attention_mask``, the image inputs of `forward`, and whatever transformers' `generate` takes.
                With ``cache_implementation='static'`` it compiles the decoding step on CUDA; not of experts' mixtures.

        Returns:
            What transformers' `generate` returns: left-padded prompts followed by the new tokens.
        """
        input_ids = kwargs.pop('input_ids', inputs)
        if input_ids is None:
            raise ValueError('generate needs input_ids.')
        attention_mask = kwargs.pop('attention_mask', None)
        valid = input_ids >= 0 if attention_mask is None else attention_mask > 0
        if kwargs.get('crop_counts') is not None:
            kwargs.update(
                pad_crops(
                    kwargs['images'], kwargs.get('image_masks'), kwargs['image_input_idx'], kwargs.pop('crop_counts')
                )
            )
        pad_id = getattr(self.generation_config, 'pad_token_id', None) or 0
        input_ids, kept, image_input_idx = left_align(input_ids, valid, kwargs.get('image_input_idx'), pad_id)
        if image_input_idx is not None:
            kwargs['image_input_idx'] = image_input_idx
        kwargs.pop('position_ids', None)
        if kwargs.get('synced_gpus') is None:
            kwargs['synced_gpus'] = any(isinstance(parameter, DTensor) for parameter in self.parameters())
        return super().generate(input_ids, attention_mask=kept.long(), **kwargs)


AutoConfig.register('molmo', MolmoConfig, exist_ok=True)
AutoModelForCausalLM.register(MolmoConfig, MolmoForCausalLM, exist_ok=True)
AutoImageProcessor.register(MolmoConfig, slow_image_processor_class=MolmoImageProcessor, exist_ok=True)
AutoProcessor.register(MolmoConfig, MolmoProcessor, exist_ok=True)
