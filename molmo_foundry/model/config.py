# Copyright 2026 molmo_foundry authors
# SPDX-License-Identifier: Apache-2.0
"""What a Molmo is made of, as `transformers` configurations.

The decoder's fields carry the names of the released `config.json` (`intermediate_size` is the *fused* SwiGLU width,
twice the inner one), so a released file loads as it is. The vision tower and the connector, which the released file
leaves to its code, are nested blocks here.
"""

from typing import Any, Optional, Sequence, Union

from transformers import PretrainedConfig

IMAGE_TOKENS = ('<im_start>', '<im_end>', '<im_patch>', '<im_col>', '<|image|>')
"""Molmo's five special strings, in the order of their consecutive token ids."""


def _check(name: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise ValueError(f'{name}={value!r} is not supported; choose one of: {", ".join(map(str, allowed))}.')


class MolmoVisionConfig(PretrainedConfig):
    """The vision transformer and how images are cut for it.

    Args:
        vit_type (str): ``openai`` (CLIP, MetaCLIP), ``siglip`` or ``dino``; also selects the pixel normalisation.
        image_size (tuple[int, int]): Height and width of a crop in pixels.
        patch_size (int): Edge of a patch in pixels.
        hidden_size (int): Width E of the tower.
        intermediate_size (int): Width of its MLPs.
        num_hidden_layers (int): Number of blocks. Released CLIP towers drop the 24th.
        num_attention_heads (int): Number of heads.
        num_key_value_heads (int, optional): Key-value heads. Default: ``num_attention_heads``.
        head_dim (int, optional): Width of a head. Default: ``hidden_size / num_attention_heads``.
        hidden_act (str): Activation of the MLPs: ``quick_gelu``, ``gelu`` or ``gelu_pytorch_tanh``.
        num_positions (int): Rows of the position table, the CLS row included where there is one.
        layer_norm_eps (float): Epsilon of the layer norms.
        attention_dropout (float): Dropout on attention weights, in training only.
        residual_dropout (float): Dropout on attention outputs.
        initializer_range (float): Standard deviation of attention and pooling weights at initialisation.
        crop_mode (str): ``overlap-and-resize-c2`` (a global crop and overlapping tiles) or ``resize`` (one crop).
        max_crops (int): Most tiles of one image, the global crop not counted.
        overlap_margins (tuple[int, int]): Patches on the left/top and right/bottom of a tile that neighbours share.
        resize_mode (str): ``default``, ``siglip``, ``dino`` or ``metaclip``; see `processing.image`.
        pad_value (float): Value in [0, 1] of padding pixels, before normalisation.
        use_col_tokens (bool): Whether every row of patches ends with ``<im_col>``.
    """

    model_type = 'molmo_vision'

    def __init__(
        self,
        vit_type: str = 'openai',
        image_size: Sequence[int] = (336, 336),
        patch_size: int = 14,
        hidden_size: int = 1024,
        intermediate_size: int = 4096,
        num_hidden_layers: int = 23,
        num_attention_heads: int = 16,
        num_key_value_heads: Optional[int] = None,
        head_dim: Optional[int] = None,
        hidden_act: str = 'quick_gelu',
        num_positions: int = 577,
        layer_norm_eps: float = 1e-5,
        attention_dropout: float = 0.0,
        residual_dropout: float = 0.0,
        initializer_range: float = 0.02,
        crop_mode: str = 'overlap-and-resize-c2',
        max_crops: int = 12,
        overlap_margins: Sequence[int] = (4, 4),
        resize_mode: str = 'default',
        pad_value: float = 0.0,
        use_col_tokens: bool = True,
        **kwargs: Any,
    ):
        _check('vision.vit_type', vit_type, ('openai', 'siglip', 'dino'))
        _check('vision.crop_mode', crop_mode, ('overlap-and-resize-c2', 'resize'))
        _check('vision.resize_mode', resize_mode, ('default', 'siglip', 'dino', 'metaclip'))
        if image_size[0] % patch_size or image_size[1] % patch_size:
            raise ValueError(f'vision.image_size={list(image_size)} is not a multiple of patch_size={patch_size}.')
        self.vit_type = vit_type
        self.image_size = list(image_size)
        self.patch_size = patch_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.hidden_act = hidden_act
        self.num_positions = num_positions
        self.layer_norm_eps = layer_norm_eps
        self.attention_dropout = attention_dropout
        self.residual_dropout = residual_dropout
        self.initializer_range = initializer_range
        self.crop_mode = crop_mode
        self.max_crops = max_crops
        self.overlap_margins = list(overlap_margins)
        self.resize_mode = resize_mode
        self.pad_value = pad_value
        self.use_col_tokens = use_col_tokens
        super().__init__(**kwargs)

    @property
    def num_prefix_tokens(self) -> int:
        """CLS tokens before the patches: 1, or 0 for SigLIP."""
        return 0 if self.vit_type == 'siglip' else 1

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches of a crop."""
        return self.image_size[0] // self.patch_size, self.image_size[1] // self.patch_size

    @property
    def patch_pixels(self) -> int:
        """Values of one flattened RGB patch."""
        return self.patch_size * self.patch_size * 3


class MolmoConnectorConfig(PretrainedConfig):
    """How patch features become tokens of the language model.

    Args:
        vit_layers (tuple[int, ...]): Blocks of the tower whose outputs are concatenated, in this order.
        pooling (str): ``attention_meanq`` (query = mean of the window), ``attention`` (query = its first patch),
            ``stack`` (concatenate the window) or ``none`` (one token a patch).
        pooling_size (tuple[int, int]): Window height and width in patches.
        projector (str): ``mlp`` (SwiGLU of the language model's width) or ``linear``.
        padding_embed (str, optional): ``pad_and_partial_pad``, ``pad_embed``, ``regress`` or None.
        feature_dropout (float): Dropout on the patch features.
        drop_marked_crops (bool): Zero the features of every crop that holds a value of exactly −1, as the code of the
            MolmoE-1B release does, which means the filling of missing crops. uint8 crops are never concerned.
        initializer_range (float): Standard deviation of projector weights at initialisation.
    """

    model_type = 'molmo_connector'

    def __init__(
        self,
        vit_layers: Sequence[int] = (-2, -9),
        pooling: str = 'attention_meanq',
        pooling_size: Sequence[int] = (2, 2),
        projector: str = 'mlp',
        padding_embed: Optional[str] = 'pad_and_partial_pad',
        feature_dropout: float = 0.0,
        drop_marked_crops: bool = False,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ):
        _check('connector.pooling', pooling, ('attention_meanq', 'attention', 'stack', 'none'))
        _check('connector.projector', projector, ('mlp', 'linear'))
        _check('connector.padding_embed', padding_embed, ('pad_and_partial_pad', 'pad_embed', 'regress', None))
        if pooling == 'none' and tuple(pooling_size) != (1, 1):
            raise ValueError(f"connector.pooling='none' needs pooling_size=[1, 1], not {list(pooling_size)}.")
        self.vit_layers = list(vit_layers)
        self.pooling = pooling
        self.pooling_size = list(pooling_size)
        self.projector = projector
        self.padding_embed = padding_embed
        self.feature_dropout = feature_dropout
        self.drop_marked_crops = drop_marked_crops
        self.initializer_range = initializer_range
        super().__init__(**kwargs)


class MolmoConfig(PretrainedConfig):
    """A whole Molmo: decoder, vision tower, connector, and how its prompts are written.

    Args:
        vocab_size (int): Size of the tokenizer before Molmo's tokens.
        embedding_size (int, optional): Rows of the input table and of the output head. Default: ``vocab_size``.
        additional_vocab_size (int, optional): Rows of ``new_embedding``; None for a plain table.
        image_token_start (int, optional): Id of ``<im_start>``, the first of the five. Default: ``vocab_size``.
        hidden_size (int): Width D of the decoder.
        intermediate_size (int): Fused width of the MLP (twice the inner width), or of one expert.
        num_hidden_layers (int): Number of decoder blocks.
        num_attention_heads (int): Query heads.
        num_key_value_heads (int, optional): Key-value heads. Default: ``num_attention_heads``.
        head_dim (int, optional): Width of a head. Default: ``hidden_size / num_attention_heads``.
        max_position_embeddings (int): Longest sequence the model is meant for.
        layer_norm_type (str): ``rms``, ``default`` or ``low_precision``.
        layer_norm_eps (float): Epsilon of the norms.
        layer_norm_bias (bool): Whether norms have a bias.
        attention_layer_norm (bool | str): QK-norm over the flattened heads, or with ``heads`` over each head by itself.
        norm_after (bool): Norms on the output of attention and MLP (OLMo-2) instead of on their input.
        qkv_bias (bool): Bias on the fused query-key-value projection.
        include_bias (bool): Bias on every other projection of the decoder.
        clip_qkv (float, optional): Clamp of queries, keys and values.
        rope_theta (float): Base of the rotary frequencies.
        attention_dropout (float): Dropout on attention weights.
        residual_dropout (float): Dropout on residual branches.
        response_residual_dropout (float): If above zero, the rate at positions that emit a response token;
            ``residual_dropout`` then holds for the others only.
        embedding_dropout (float): Dropout on input embeddings.
        scale_logits (bool): Divide logits by sqrt(D).
        normalize_input_embeds (bool): Multiply input embeddings by sqrt(D).
        weight_tying (bool): Share the input table with the head; only without ``additional_vocab_size``.
        initializer_range (float): Standard deviation of decoder weights.
        init_cutoff_factor (float, optional): Truncate the initial normal at this many standard deviations.
        new_embedding_init_range (float): Standard deviation of ``new_embedding``.
        moe_num_experts (int): Experts of a mixture-of-experts decoder; 0 for a dense one.
        moe_top_k (int): Experts a token is sent to.
        moe_loss_weight (float): Weight of the load-balancing loss; 0 turns it off.
        moe_zloss_weight (float): Weight of the router z-loss; 0 turns it off.
        use_cache (bool): Whether generation keeps keys and values.
        use_position_ids (bool): Always true; the field is in released files.
        vision (dict | MolmoVisionConfig, optional): The vision tower. Default: CLIP ViT-L/14-336 with 23 blocks.
        connector (dict | MolmoConnectorConfig, optional): The connector.
        prompt_type (str): ``none`` or ``uber_model``; see `processing.formatter`.
        system_prompt_kind (str): ``none``, ``style``, ``demo_or_style`` or ``style_and_length``.
        message_formatting (str): ``none`` or ``role``.
        always_start_with_space (bool): Whether the first turn starts with a space too.
        multi_annotation_weighting (str, optional): None or ``root_subsegments``.
        default_inference_len (int): Length hint of ``style_and_length`` prompts at inference.
    """

    model_type = 'molmo'
    keys_to_ignore_at_inference = ['past_key_values']
    sub_configs: dict[str, Any] = {'vision': MolmoVisionConfig, 'connector': MolmoConnectorConfig}

    def __init__(
        self,
        vocab_size: int = 152064,
        embedding_size: Optional[int] = None,
        additional_vocab_size: Optional[int] = 128,
        image_token_start: Optional[int] = None,
        hidden_size: int = 3584,
        intermediate_size: int = 37888,
        num_hidden_layers: int = 28,
        num_attention_heads: int = 28,
        num_key_value_heads: Optional[int] = None,
        head_dim: Optional[int] = None,
        max_position_embeddings: int = 4096,
        layer_norm_type: str = 'rms',
        layer_norm_eps: float = 1e-5,
        layer_norm_bias: bool = False,
        attention_layer_norm: Union[bool, str] = False,
        norm_after: bool = False,
        qkv_bias: bool = False,
        include_bias: bool = False,
        clip_qkv: Optional[float] = None,
        rope_theta: float = 10000.0,
        attention_dropout: float = 0.0,
        residual_dropout: float = 0.0,
        response_residual_dropout: float = 0.0,
        embedding_dropout: float = 0.0,
        scale_logits: bool = False,
        normalize_input_embeds: bool = False,
        weight_tying: bool = False,
        initializer_range: float = 0.02,
        init_cutoff_factor: Optional[float] = None,
        new_embedding_init_range: float = 0.02,
        moe_num_experts: int = 0,
        moe_top_k: int = 0,
        moe_loss_weight: float = 0.0,
        moe_zloss_weight: float = 0.0,
        use_cache: bool = True,
        use_position_ids: bool = True,
        vision: Union[dict[str, Any], MolmoVisionConfig, None] = None,
        connector: Union[dict[str, Any], MolmoConnectorConfig, None] = None,
        prompt_type: str = 'uber_model',
        system_prompt_kind: str = 'demo_or_style',
        message_formatting: str = 'role',
        always_start_with_space: bool = True,
        multi_annotation_weighting: Optional[str] = 'root_subsegments',
        default_inference_len: int = 65,
        **kwargs: Any,
    ):
        _check('layer_norm_type', layer_norm_type, ('rms', 'default', 'low_precision'))
        _check('attention_layer_norm', attention_layer_norm, (False, True, 'heads'))
        _check('prompt_type', prompt_type, ('none', 'uber_model'))
        _check('system_prompt_kind', system_prompt_kind, ('none', 'style', 'demo_or_style', 'style_and_length'))
        _check('message_formatting', message_formatting, ('none', 'role'))
        _check('multi_annotation_weighting', multi_annotation_weighting, (None, 'root_subsegments'))
        if not use_position_ids:
            raise ValueError('use_position_ids=False is not supported: every Molmo was trained with position ids.')
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size or vocab_size
        if self.embedding_size < vocab_size:
            raise ValueError(f'embedding_size={embedding_size} is smaller than vocab_size={vocab_size}.')
        if weight_tying and additional_vocab_size:
            raise ValueError('weight_tying=True needs additional_vocab_size=None: the head has no image tokens.')
        self.additional_vocab_size = additional_vocab_size
        self.image_token_start = vocab_size if image_token_start is None else image_token_start
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads or num_attention_heads
        self.head_dim = head_dim or hidden_size // num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.layer_norm_type = layer_norm_type
        self.layer_norm_eps = layer_norm_eps
        self.layer_norm_bias = layer_norm_bias
        self.attention_layer_norm = attention_layer_norm
        self.norm_after = norm_after
        self.qkv_bias = qkv_bias
        self.include_bias = include_bias
        self.clip_qkv = clip_qkv
        self.rope_theta = rope_theta
        self.attention_dropout = attention_dropout
        self.residual_dropout = residual_dropout
        self.response_residual_dropout = response_residual_dropout
        self.embedding_dropout = embedding_dropout
        self.scale_logits = scale_logits
        self.normalize_input_embeds = normalize_input_embeds
        self.weight_tying = weight_tying
        self.initializer_range = initializer_range
        self.init_cutoff_factor = init_cutoff_factor
        self.new_embedding_init_range = new_embedding_init_range
        self.moe_num_experts = moe_num_experts
        self.moe_top_k = moe_top_k
        self.moe_loss_weight = moe_loss_weight
        self.moe_zloss_weight = moe_zloss_weight
        self.use_cache = use_cache
        self.use_position_ids = use_position_ids
        self.vision = vision if isinstance(vision, MolmoVisionConfig) else MolmoVisionConfig(**(vision or {}))
        self.connector = (
            connector if isinstance(connector, MolmoConnectorConfig) else MolmoConnectorConfig(**(connector or {}))
        )
        blocks = self.vision.num_hidden_layers
        if not all(-blocks <= layer < blocks for layer in self.connector.vit_layers):
            raise ValueError(
                f'connector.vit_layers={self.connector.vit_layers} do not all exist: vision.num_hidden_layers={blocks}.'
            )
        self.prompt_type = prompt_type
        self.system_prompt_kind = system_prompt_kind
        self.message_formatting = message_formatting
        self.always_start_with_space = always_start_with_space
        self.multi_annotation_weighting = multi_annotation_weighting
        self.default_inference_len = default_inference_len
        kwargs['tie_word_embeddings'] = False  # transformers would tie by default; `weight_tying` decides here
        super().__init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Makes a configuration from a ``config.json``, MolmoE-1B's included, which is written in native terms."""
        if 'd_model' in config_dict:
            from molmo_foundry.convert.release import config_from_native  # `convert` builds on `model`

            config_dict = config_from_native(config_dict).to_dict()
        return super().from_dict(config_dict, **kwargs)

    @property
    def image_token_ids(self) -> dict[str, int]:
        """Molmo's special strings with their ids."""
        return {token: self.image_token_start + i for i, token in enumerate(IMAGE_TOKENS)}

    @property
    def pooled_grid(self) -> tuple[int, int]:
        """Rows and columns of pooled tokens of a crop, rounded up."""
        rows, cols = self.vision.patch_grid
        pool_h, pool_w = self.connector.pooling_size
        return -(-rows // pool_h), -(-cols // pool_w)

    @property
    def num_embeddings(self) -> int:
        """Number of ids that the model embeds."""
        return self.embedding_size + (self.additional_vocab_size or 0)
