"""Files: safetensors, checkpoints of nested structures, torch's .pt files. No pickle is ever executed."""

from .checkpoint import load, save
from .errors import FormatError
from .safetensors import load_file, safe_open, save_file

__all__ = ["FormatError", "load", "load_file", "safe_open", "save", "save_file"]
