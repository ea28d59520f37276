"""What torch can compute on."""

from collections.abc import Iterator

from ch4grid.environment.check import Check

GROUP = "devices"
GIB = 2**30


def devices() -> Iterator[Check]:
    """The CPU build or the GPUs, by name and memory."""
    try:
        import torch
    except Exception as error:  # a broken build raises OSError as well as ImportError
        told = " ".join(str(error).split())[:120]
        yield Check(
            GROUP,
            "torch",
            "fail",
            f"cannot be imported: {told}",
            "pip install --force-reinstall torch",
        )
        return
    built = torch.version.cuda
    if not torch.cuda.is_available():
        if built is None:
            yield Check(GROUP, "gpu", "ok", f"none: torch {torch.__version__} is built for CPUs")
        else:
            yield Check(
                GROUP,
                "gpu",
                "warn",
                f"none, though torch {torch.__version__} is built for CUDA {built}",
                "Check the driver with nvidia-smi and CUDA_VISIBLE_DEVICES; runs take the CPU until then",
            )
        return
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        memory = f"{gpu.total_memory / GIB:.0f} GiB"
        yield Check(GROUP, f"gpu {number}", "ok", f"{gpu.name}, {memory}, CUDA {built}")
