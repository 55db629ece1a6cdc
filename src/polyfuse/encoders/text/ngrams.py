"""Words as the sum of what their n-grams say: the strong small-data default for text, a linear model of n-grams at heart.

Bojanowski et al., Enriching word vectors with subword information, TACL 2017; Joulin et al., Bag of tricks for
efficient text classification, EACL 2017.
"""

# ruff: noqa: ARG002, ARG004 - wants() and __init__() share their keywords, and each uses some

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyfuse.layers.positions import masked_until
from polyfuse.records import Spec, Tokens
