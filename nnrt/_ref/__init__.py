"""Kernels in plain numpy: the specification, written to be read.

Every function takes its outputs first, then what the backward needs saved, the inputs and the
scalars. Outputs are annotated `Out`: they arrive uninitialised and are overwritten, never read.
"""

from typing import Annotated

import numpy as np

Out = Annotated[np.ndarray, "output"]
# As compiled kernels: overflow, NaN and infinity are results, of which nobody is warned. The registry puts it around every
# kernel; here it stands where kernels of other back-ends call these.
quiet = np.errstate(all="ignore")
