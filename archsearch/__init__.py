"""archsearch: small convolutional networks under hard limits, described in YAML, checked before training, searched.

    from archsearch import load_design, analyse, check, build

    design = load_design("conf/arch/c1c2c3c4.yaml", block="dilated")
    analyse(design).receptive_field       # px
    check(design).margins                 # one for every limit
    network = build(design)               # torch.nn.Module: (B, 3, H, W) to (B, K)

Importing this package imports no torch.
"""

from archsearch.library import analyse, build, check, load, load_design

__all__ = ["load_design", "analyse", "check", "build", "load"]
