"""Hypothesis strategies for every kind of input: mostly what a user may write, with odd values among it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from mutations import shipped_files

from archsearch.analysis.traits import HEADS, TRAITS
from archsearch.design.kinds import ACTIVATIONS, NORMS, POOLS

Strategy = st.SearchStrategy[Any]

WORDS = [
    "in",
    "out",
    "block_in",
    "relu",
    "none",
    "act",
    "same",
    "kernel",
    "x",
    "normal",
    "fit",
    "${block}",
    "${data.classes}",
]
ODD: Strategy = st.one_of(
    st.sampled_from([None, True, False, 0, -1, 1, 10**6, 10**6 + 1, 10**9, 2**63, 10**30, 10**400]),
    st.sampled_from([1.5, -0.0, 1e300, 5e-324, float("nan"), float("inf"), -float("inf")]),
    st.sampled_from(
        ["", " ", "0", "1e5", "null", "ü", "\x1b[31m", "a.b", "a-b", "..", "a" * 300, "é\u202e", "\0", *WORDS]
    ),
    st.sampled_from(
        ["in / 0", "out * 10 ** 9", "-out", "act * 999999999", "(" * 50, "9 ** 9 ** 9", "0.1 ** 0.5 % 0.3"]
    ),
    st.sampled_from([[], {}, [1], {"a": 1}, [[]], [None], {"": {}}, {1: 2}, {None: 1}, [{"conv": {}}]]),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
)


def mostly(usual: Strategy, rarely: Strategy = ODD) -> Strategy:
    """Return `usual`, and in one of twenty-five cases `rarely`."""
    return st.integers(0, 24).flatmap(lambda number: rarely if number == 13 else usual)


def some(fields: dict[str, Strategy]) -> Strategy:
    """Return mappings of some of the `fields`, and now and then of a key that is none of them."""
    usual = st.fixed_dictionaries({}, optional=fields)
    return mostly(
        usual,
        st.dictionaries(st.one_of(st.sampled_from([*fields, "when", "naem"]), ODD.filter(_hashable)), ODD, max_size=3),
    )


def _hashable(value: object) -> bool:
    return not isinstance(value, list | dict)


# Expressions: a pair of the text and the same for Python, where `in` is a keyword; or None for one that may be no text.
NAMES = {"in": "in_", "out": "out", "x": "x", "ratio": "ratio", "flag": "flag", "mode": "mode"}
SCOPE = {"in": 12, "out": 16, "x": 7, "ratio": 0.25, "flag": True, "mode": "wide"}
_atoms = st.one_of(
    st.integers(0, 99).map(lambda number: (str(number), str(number))),
    st.sampled_from([0.5, 1.5, 0.1, 100.0]).map(lambda number: (repr(number), repr(number))),
    st.sampled_from(list(NAMES.items())),
)


def _binary(one: tuple[Any, str, Any]) -> tuple[str, str]:
    (left, left_python), operator, (right, right_python) = one
    python = f"({left_python}{operator}{right_python})"
    return f"({left}{operator}{right})", f"bool{python}" if operator in (" or ", " and ") else python


def _joined(inner: Strategy) -> Strategy:
    operators = ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!=", " or ", " and "]
    pairs = st.tuples(inner, st.sampled_from(operators), inner)
    calls = st.tuples(st.sampled_from(["min", "max", "abs", "floor", "ceil"]), inner, inner)
    return st.one_of(
        pairs.map(_binary),
        inner.map(lambda one: tuple(f"-{text}" for text in one)),
        inner.map(lambda one: tuple(f"(not {text})" for text in one)),
        st.tuples(inner, inner, inner).map(
            lambda one: tuple(f"({a} if {b} else {c})" for a, b, c in zip(*one, strict=True))
        ),
        calls.map(
            lambda one: tuple(
                f"{one[0]}({a})" if one[0] in ("abs", "floor", "ceil") else f"{one[0]}({a},{b})"
                for a, b in zip(one[1], one[2], strict=True)
            )
        ),
    )


EXPRESSION_PAIRS = st.recursive(_atoms, _joined, max_leaves=12)
_TOKENS = [
    "in",
    "out",
    "mode",
    "(",
    ")",
    ",",
    "-",
    "**",
    "*",
    "/",
    "//",
    "%",
    "<",
    "==",
    " if ",
    " else ",
    " not ",
    " or ",
    " and ",
    "9",
    "1.5",
    "0",
    "10",
    "10 ** 16",
    "min(",
    "round(",
    "multiple_of(",
    "abs",
    ".",
    "é",
    "'",
    "[",
    "½",
    "٣",
    "_",
    "\n",
]
SOUP = st.lists(st.sampled_from(_TOKENS), max_size=40).map("".join)
EXPRESSIONS = st.one_of(
    EXPRESSION_PAIRS,
    EXPRESSION_PAIRS,
    SOUP.map(lambda text: (text, None)),
    st.text(max_size=60).map(lambda text: (text, None)),
)

# Blocks.
_number = st.one_of(
    st.integers(1, 5),
    st.sampled_from(
        ["in", "out", "in * 2", "out // 2", "max(1, in // 4)", "x", "in + out", "3 if in > 4 else 1", "block_in"]
    ),
    EXPRESSION_PAIRS.map(lambda pair: pair[0]),
)
_window = mostly(st.one_of(st.integers(1, 5), st.sampled_from(["kernel", "x", "stride", "in", "1 + x"])))
_shortcut = mostly(st.sampled_from(["none", "if_same_shape", "project", "shortcut"]))
_when = mostly(st.sampled_from(["in != out", "stride == 1", "x > 2", "flag", "not flag", "act == 3", True]))
_conv = some(
    {
        "out": mostly(_number),
        "kernel": _window,
        "stride": mostly(st.sampled_from([1, 1, 2, "stride"])),
        "dilation": mostly(st.integers(1, 3)),
        "groups": mostly(st.sampled_from([1, 1, "in", 2, 3, "x"])),
        "padding": mostly(st.sampled_from(["same", "same", "valid", 0, 1, 2, "x"])),
        "bias": mostly(st.booleans()),
    }
)
_pool = some(
    {
        "kind": mostly(st.sampled_from(list(POOLS))),
        "kernel": _window,
        "stride": _window,
        "padding": mostly(st.sampled_from(["same", "valid", 0, 1])),
        "ceil_mode": mostly(st.booleans()),
    }
)
_layer_kinds: list[tuple[str, Strategy]] = [
    ("conv", _conv),
    ("conv", _conv),
    ("conv", _number),
    ("norm", mostly(st.sampled_from(list(NORMS)))),
    ("norm", some({"kind": st.just("group"), "groups": mostly(st.integers(1, 8))})),
    ("act", mostly(st.sampled_from([*ACTIVATIONS, "act"]))),
    ("dropout", mostly(st.sampled_from([0, 0.1, 0.5, "rate", {"rate": 0.2, "channelwise": True}]))),
    ("pool", _pool),
    ("pool", mostly(st.sampled_from(list(POOLS)))),
    ("linear", some({"out": mostly(_number), "bias": st.booleans()})),
]


def _named(layer: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    return {**layer, **extra}


_extras = mostly(
    st.just({}), some({"when": _when, "name": mostly(st.sampled_from(["a", "b", "weight", "train", "x"]))})
)
_leaves = st.tuples(
    st.one_of(
        *[body.map(lambda value, kind=kind: {kind: value}) for kind, body in _layer_kinds],
        st.sampled_from(["conv", "act", "norm"]),
    ),
    st.one_of(st.just({}), _extras),
).map(lambda pair: pair[0] if isinstance(pair[0], str) or not isinstance(pair[1], dict) else _named(pair[0], pair[1]))


def _nested(inner: Strategy) -> Strategy:
    layers = mostly(st.lists(inner, max_size=4))
    branch = st.one_of(layers, layers, some({"when": _when, "layers": layers}))
    branches = st.one_of(
        st.lists(branch, min_size=1, max_size=3),
        st.dictionaries(
            mostly(st.sampled_from(["a", "b", "main", "shortcut", "gate"])).filter(_hashable), branch, max_size=3
        ),
    )
    parallel = some({"combine": mostly(st.sampled_from(["add", "concat", "multiply"])), "branches": mostly(branches)})
    shortcut = st.one_of(_shortcut, _shortcut, layers, some({"layers": layers, "always": _when}))
    residual = st.one_of(layers, some({"layers": layers, "shortcut": shortcut}))
    used = st.one_of(
        st.sampled_from(["separable", "squeeze_excite", "identity"]),
        st.fixed_dictionaries({"layers": layers, "options": st.just({"kernel": 3, "act": "relu"})}),
    )
    use = st.one_of(used, some({"block": used, "width": _number, "kernel": _window, "act": st.just("act")}))
    return st.one_of(
        parallel.map(lambda body: {"parallel": body}),
        residual.map(lambda body: {"residual": body}),
        use.map(lambda body: {"use": body}),
    )


LAYERS = st.lists(mostly(st.recursive(_leaves, _nested, max_leaves=8)), max_size=6)
_options = mostly(
    st.fixed_dictionaries(
        {
            "kernel": mostly(st.integers(1, 5)),
            "stride": mostly(st.just(1)),
            "x": mostly(st.integers(1, 6)),
            "act": mostly(st.just("relu")),
            "shortcut": mostly(st.just("none")),
            "rate": mostly(st.just(0.1)),
            "flag": mostly(st.booleans()),
        },
        optional={"dilation": st.just(1)},
    )
)
BLOCK = mostly(
    st.fixed_dictionaries(
        {"options": _options, "layers": mostly(LAYERS)},
        optional={"residual": _shortcut, "name": mostly(st.just("mine"))},
    )
)

# Networks.
_SHIPPED_BLOCKS = [name for group, name in shipped_files() if group == "block"]
_use = mostly(st.one_of(st.sampled_from(_SHIPPED_BLOCKS), st.sampled_from(_SHIPPED_BLOCKS), BLOCK))
_common = {
    "stride": mostly(st.sampled_from([1, 1, 2])),
    "kernel": mostly(st.sampled_from([3, 5, 1, 2])),
    "dilation": mostly(st.integers(1, 3)),
    "padding": mostly(st.sampled_from(["same", 0, 1])),
    "bias": mostly(st.booleans()),
    "act": mostly(st.sampled_from(["silu", "relu"])),
    "shortcut": _shortcut,
    "x": ODD,
    "expand": mostly(st.integers(1, 6)),
}
_stage = mostly(
    st.fixed_dictionaries(
        {"block": _use, "width": mostly(st.sampled_from([2, 4, 8, 12, 3]))},
        optional={
            "repeats": mostly(st.integers(0, 3)),
            "entry": mostly(some({"block": _use, **_common})),
            "stride": _common["stride"],
        },
    ).flatmap(
        lambda stage: mostly(
            st.just(stage), some(_common).map(lambda more: {**stage, **more} if isinstance(more, dict) else stage)
        )
    )
)
_stages = mostly(
    st.dictionaries(mostly(st.sampled_from(["c1", "c2", "c3"])).filter(_hashable), _stage, min_size=1, max_size=3)
)
_classifier = st.lists(mostly(_leaves), max_size=2).map(lambda layers: [*layers, {"linear": "classes"}])
_head_with_classifier = some({"pool": st.just("global_average"), "classifier": mostly(_classifier)})
_head = some(
    {
        "pool": mostly(st.sampled_from(["global_average", "global_max", "average", "none"])),
        "kernel": mostly(st.integers(1, 4)),
        "dropout": mostly(st.sampled_from([0, 0.0, 0.2])),
        "linear": mostly(st.booleans()),
        "bias": mostly(st.booleans()),
        "layers": mostly(LAYERS),
    }
)
_heads = st.one_of(_head, _head, _head_with_classifier)
NETWORK = mostly(
    st.fixed_dictionaries(
        {
            "input": mostly(
                st.tuples(st.sampled_from([1, 3, 4]), st.sampled_from([1, 5, 8, 16]), st.sampled_from([8, 16, 7])).map(
                    list
                )
            ),
            "stages": _stages,
            "head": mostly(
                st.one_of(_head, _head, _head_with_classifier).map(
                    lambda head: {"classes": 4, **head} if isinstance(head, dict) else head
                )
            ),
        },
        optional={
            "name": mostly(st.just("net")),
            "options": mostly(
                some({"act": st.just("silu"), "kernel": st.sampled_from([1, 3, "3"]), "bias": st.booleans()})
            ),
            "stem": mostly(some({"block": _use, "out": st.just(4), "width": st.just(4)})),
            "width": mostly(st.sampled_from([1, 1.0, 0.5, 2.5, "fit"])),
            "divisor": mostly(st.integers(1, 8)),
            "symmetry": mostly(st.sampled_from(["none", "flip"])),
        },
    )
)

# Limits.
_bound = mostly(
    some(
        dict.fromkeys(
            ["above", "below", "at_least", "at_most"], mostly(st.one_of(st.integers(0, 300_000), st.floats(0, 1e6)))
        )
    )
)
LIMITS = some(
    {
        **dict.fromkeys(["receptive_field", "parameters", "macs", "activations", "peak_bytes"], _bound),
        "contains": mostly(st.lists(mostly(st.sampled_from(list(TRAITS))), max_size=3)),
        "forbids": mostly(st.lists(mostly(st.sampled_from(list(TRAITS))), max_size=3)),
        "downsampling": mostly(
            some(
                {
                    "layers": mostly(st.integers(0, 6)),
                    "by": mostly(st.lists(mostly(st.sampled_from(["strided", "dilated"])), max_size=2)),
                }
            )
        ),
        "head": mostly(st.sampled_from(list(HEADS))),
    }
)


# Overrides and spaces.
def _words(text: str) -> list[str]:
    return text.split()


_KEYS = _words("""
arch arch.width arch.name arch.input arch.divisor arch.symmetry arch.stages arch.stem arch.file arch.head.pool
arch.stages.c1.width arch.stages.c2.block arch.stages.c9.width arch.stages.c3.repeats arch.stages.c1.entry
block block@arch.stem.block constraints constraints.parameters constraints.macs.below constraints.contains
data.classes data.image_size data.validation train.epochs train.batch_size optimizer optimizer.learning_rate
schedule.warmup augment augment.transforms study.trials study.sampler.name study.objectives seed space hydra.job.name
a.b.c
""")
_PLAIN = [
    *_words("""
1 0 -1 8 0.5 nan inf 1e400 null true '' 'a' normal dilated fit resnet20 quick none [1,2] [] {} {a:1} {below:1000} [[1]]
( ) a=b ${seed} ${arch.width} ${oc.env:HOME} ${oc.decode:'1'} ${a ${arch} ??? a,b \u00e9 \\ ' " * a/b / ..
{below:1000,above:5000} [32,3,3] [3,32,32] [3,9999999999,1] [accuracy] [{horizontal_flip:{}}] [dilated]
"""),
    "9" * 30,
    "9" * 200,
    "[" * 40,
    "x" * 300,
    "'a b'",
    "",
]
_SWEEPS = _words("""
choice(1,2) choice(normal,dilated) choice() choice(1,[2]) choice({a:1}) choice(a,a) choice(${seed}) choice(nan,inf)
choice(null,true) choice('a,b','c') choice(1,1.0,true) float(choice(1,2)) str(choice(1,2)) tag(a,b,choice(1,2))
range(1,5) range(0,1,0.25) range(5,1) range(1,5,0) range(0,1000000000) range(0,1e9,1e-3) range(1,3),5
range(0.1,0.9,0.1) range(-3,3) tag(log,range(1,9)) shuffle(range(1,9)) sort(3,1,2)
interval(0,1) interval(1,0) interval(1,1) interval(0,inf) interval(nan,1) interval(1) interval(1e300,-1e300)
interval(-1e308,1e308) int(interval(1,8)) int(interval(1,2)) tag(log,interval(0,1)) tag(log,interval(1e-4,1e-1))
tag(log,int(interval(1,1))) glob(*) glob([a*,n*]) 1,2,3 a,b
""")
_prefix = mostly(st.just(""), st.sampled_from(["+", "++", "~", "-", "+++"]))
_key = mostly(
    st.sampled_from(_KEYS),
    st.one_of(st.text(max_size=12), st.sampled_from(["a." * 40 + "a", "", "=", "@", "a@b@c", "arch/x"])),
)
OVERRIDES = st.lists(
    st.tuples(_prefix, _key, mostly(st.sampled_from(_PLAIN), st.text(max_size=20))).map(
        lambda one: f"{one[0]}{one[1]}={one[2]}"
    ),
    min_size=1,
    max_size=4,
)
_swept = mostly(st.one_of(st.sampled_from(_SWEEPS), st.sampled_from(_SWEEPS), st.sampled_from(_PLAIN)), ODD)
SPACE = st.tuples(
    st.one_of(st.none(), st.dictionaries(_key, _swept, max_size=4)),
    st.lists(
        st.tuples(_key, mostly(st.sampled_from([*_SWEEPS, *_PLAIN]), st.text(max_size=20))).map("=".join), max_size=3
    ),
)

STRATEGIES: dict[str, Strategy] = {
    "expressions": EXPRESSIONS,
    "blocks": BLOCK,
    "networks": st.tuples(NETWORK, st.one_of(st.just({}), LIMITS)),
    "limits": st.tuples(LIMITS, st.sampled_from(["c1c2c3c4", "quick", "resnet20", "brisk"])),
    "spaces": SPACE,
    "overrides": OVERRIDES,
    "yaml": st.tuples(st.sampled_from(shipped_files()), st.integers(0, 2**32)),
}
"""Every kind of input, and how it is drawn."""
SHARES = {"expressions": 14, "blocks": 24, "networks": 16, "limits": 8, "spaces": 12, "overrides": 4, "yaml": 22}
"""Of a hundred inputs, how many are of each kind."""
