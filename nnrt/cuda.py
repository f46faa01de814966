"""What scripts ask before they choose a device: there is the CPU only."""


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator on a GPU."""


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Nothing: nnrt.memory.empty_cache() is for the memory that there is."""


def memory_allocated(device=None) -> int:
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def __getattr__(name):
    raise AttributeError(f"module 'nnrt.cuda' has no attribute {name!r} (there is the CPU only, and float32 or float64)")
