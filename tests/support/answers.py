"""Studies of answers that nobody measured."""

from typing import Any

from energybench.records.studies import Generation, GenerationPoint, Inference, InferencePoint

DEVICE = "a processor"


def images(
    method: str,
    seed: int,
    joules: dict[int, float | None],
    source: str = "rapl",
    model: str = "resnet18",
    **fields: Any,
) -> Inference:
    """Answers of a network to images of 32 pixels; `joules` per answer by batch size."""
    points = [
        InferencePoint(size, 10.0, None if one is None else 1000.0 * one)
        for size, one in joules.items()
    ]
    sources = {"cpu:0": source}
    return Inference(model, method, seed, 32, "fp32", DEVICE, points, sources, **fields)


def generation(
    method: str,
    seed: int,
    joules: dict[int, float | None],
    source: str = "rapl",
    model: str = "gpt2-tiny",
    prefill: float | None = 10.0,
    decode: float | None = 20.0,
    **fields: Any,
) -> Generation:
    """Answers of a language model; `joules` per answer by batch size, the rest per 1,000 tokens."""
    points = [
        GenerationPoint(size, 1.0, prefill, 5.0, decode, 2.0, one) for size, one in joules.items()
    ]
    plain: dict[str, Any] = {
        "prompt_length": 128,
        "answer_length": 64,
        "precision": "fp32",
        "device_name": DEVICE,
        "sources": {"cpu:0": source},
    }
    return Generation(model, method, seed, points=points, **(plain | fields))
