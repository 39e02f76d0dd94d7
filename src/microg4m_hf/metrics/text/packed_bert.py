"""Run a BERT sentence encoder on a CPU: texts of equal length without padding or mask, and products fused by oneDNN.

The queries, keys and values of a layer are one matrix product; GELU and the residuals are added while a product is
written; weights are packed once. The rows of a batch are one long matrix, so the batch may be as large as the cache
likes. In float32 the embeddings differ from those of sentence-transformers by rounding only (below 1e-6).
"""

from __future__ import annotations

from typing import Any

# A packed weight is laid out for this many rows; other batches work as well.
_ROWS = 2048
_TOLERANCE = {"float32": 1e-6, "bfloat16": 0.02}


class PackedBert:
    """The forward pass of a BERT encoder with mean pooling, from token ids to embeddings.

    Args:
        model: A ``SentenceTransformer`` that :func:`pack_bert` has looked at. It is not changed.
        dtype: The ``torch.dtype`` of weights and activations.
    """

    def __init__(self, model: Any, dtype: Any) -> None:
        bert = model[0].auto_model
        self._heads, self._eps = bert.config.num_attention_heads, bert.config.layer_norm_eps
        table = bert.embeddings
        self._words = table.word_embeddings.weight.detach().to(dtype)
        self._positions = (table.position_embeddings.weight + table.token_type_embeddings.weight[0]).detach().to(dtype)
        self._norm = _norm_weights(table.LayerNorm, dtype)
        self._normalizes = len(model) == 3
        self._layers = []
        for layer in bert.encoder.layer:
            attention, output = layer.attention.self, layer.attention.output
            self._layers.append(
                (
                    _pack([attention.query, attention.key, attention.value], dtype),
                    _pack([output.dense], dtype),
                    _norm_weights(output.LayerNorm, dtype),
                    _pack([layer.intermediate.dense], dtype),
                    _pack([layer.output.dense], dtype),
                    _norm_weights(layer.output.LayerNorm, dtype),
                )
            )

    def __call__(self, ids: Any) -> Any:
        """Return the embeddings, in float32, of token ids of shape (texts, tokens)."""
        from torch.nn import functional

        linear = _operator()
        texts, tokens = ids.shape
        width = self._words.shape[1]
        states = functional.embedding(ids, self._words).add_(self._positions[:tokens]).view(-1, width)
        states = functional.layer_norm(states, (width,), *self._norm, self._eps)
        for projections, out, out_norm, up, down, down_norm in self._layers:
            mixed = linear(states, *projections, "none", [], "")
            query, key, value = mixed.view(texts, tokens, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            context = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(-1, width)
            states = linear.binary(context, states, *out, "add")
            states = functional.layer_norm(states, (width,), *out_norm, self._eps)
            inner = linear(states, *up, "gelu", [], "none")
            states = linear.binary(inner, states, *down, "add")
            states = functional.layer_norm(states, (width,), *down_norm, self._eps)
        embeddings = states.view(texts, tokens, width).float().mean(1)
        return functional.normalize(embeddings, dim=-1) if self._normalizes else embeddings


def pack_bert(model: Any, dtype: str) -> PackedBert | None:
    """Return the fast forward pass of a ``SentenceTransformer``, or None if the model or this machine is another kind.

    The pass is compared with the model on a few tokens and is returned only if both agree.
    """
    import torch

    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available() or not _is_plain_bert(model):
        return None
    ids = torch.arange(24).view(2, 12) % model[0].auto_model.config.vocab_size
    with torch.inference_mode():
        expected = model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"].float()
        try:
            packed = PackedBert(model, getattr(torch, dtype))
            difference = float((packed(ids) - expected).abs().max() / expected.abs().max().clamp_min(1.0))
        except (AttributeError, RuntimeError, TypeError):  # the operator is not part of torch's public interface
            return None
    return packed if difference <= _TOLERANCE[dtype] else None


def _is_plain_bert(model: Any) -> bool:
    kinds = [type(part).__name__ for part in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    config: Any = getattr(model[0].auto_model, "config", None)
    return (
        type(model[0].auto_model).__name__ == "BertModel"
        and config.hidden_act == "gelu"
        and not getattr(config, "is_decoder", False)
        and getattr(config, "position_embedding_type", None) in (None, "absolute")
        and _pooling(model[1]) == "mean"
    )


def _pooling(module: Any) -> str:
    mode = getattr(module, "pooling_mode", None)  # before sentence-transformers 5.3 it was one flag per mode
    return str(mode if mode is not None else module.get_pooling_mode_str())


def _operator() -> Any:
    import torch

    return torch.ops.mkldnn._linear_pointwise


def _pack(linears: list[Any], dtype: Any) -> tuple[Any, Any]:
    """Return the packed weight and the bias of linear layers that read the same states."""
    import torch

    weight = torch.cat([linear.weight for linear in linears]).detach().to(dtype).contiguous()
    bias = torch.cat([linear.bias for linear in linears]).detach().to(dtype)
    return torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS), bias


def pack_linears(model: Any) -> None:
    """Pack the weights of the linear layers of any model on a CPU; on AMD machines that is twice as fast as MKL."""
    import torch

    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        return

    class PackedLinear(torch.nn.Module):
        def __init__(self, linear: torch.nn.Linear) -> None:
            super().__init__()
            self.weight, self.bias = linear.weight, linear.bias
            self._packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            return _operator()(states, self._packed, self.bias, "none", [], "")

    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Linear and child.weight.dtype == torch.float32:
                setattr(parent, name, PackedLinear(child))


def _norm_weights(norm: Any, dtype: Any) -> tuple[Any, Any]:
    return norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
