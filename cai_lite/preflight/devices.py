"""Graphics cards by name, with the figures of their makers' data sheets."""

from __future__ import annotations

from dataclasses import dataclass

from cai_lite.errors import InputError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A graphics card.

    `memory`: in GB of 2**30 bytes, without what error correction takes. `tflops`: dense bfloat16 matrix products with
    32-bit accumulation, in TFLOP/s. `bandwidth`: of the memory, in GB/s.
    """

    name: str
    memory: float
    tflops: float
    bandwidth: float


# Consumer cards reach half of the advertised tensor speed where sums are kept in 32 bits, as they are in training;
# figures "with sparsity" are halved once more.
DEVICES: dict[str, Device] = {
    name: Device(name=name, memory=memory, tflops=tflops, bandwidth=bandwidth)
    for name, memory, tflops, bandwidth in (
        ("rtx-4060", 8, 30, 272),
        ("rtx-3060", 12, 25, 360),
        ("rtx-4070", 12, 58, 504),
        ("rtx-4080", 16, 97, 717),
        ("rtx-3090", 24, 71, 936),
        ("rtx-4090", 24, 165, 1008),
        ("l4", 22.5, 121, 300),
        ("a10", 22.5, 125, 600),
        ("rtx-5090", 32, 210, 1792),
        ("a100-40gb", 39.5, 312, 1555),
        ("l40s", 45, 362, 864),
        ("a6000", 48, 155, 768),
        ("a100", 79, 312, 2039),
        ("h100", 79, 989, 3350),
        ("h200", 140, 989, 4800),
    )
}
TABLE = ("rtx-4090", "rtx-4080", "rtx-4070", "rtx-4060")  # those of 24, 16, 12 and 8 GB that are shown by default


def device_of(name: str) -> Device:
    """Return a device by its name. Raises InputError."""
    if name not in DEVICES:
        raise InputError(f"no device '{name}'{did_you_mean(name, DEVICES)}; or give --gpu-memory and --tflops")
    return DEVICES[name]


def device_with(memory: float) -> Device:
    """Return the card of the default table whose memory is nearest below `memory`, or the smallest one."""
    known = [DEVICES[name] for name in TABLE]
    return next((device for device in known if device.memory <= memory), known[-1])
