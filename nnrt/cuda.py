"""What scripts ask before they choose a device: there is the CPU only."""


def is_available() -> bool:
    return False


def device_count() -> int:
    return 0


def manual_seed(seed: int) -> None:
    """Nothing: there is no generator on a GPU."""


manual_seed_all = manual_seed
