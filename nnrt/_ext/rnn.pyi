# The same functions, compiled.
from .._ref.rnn import *
