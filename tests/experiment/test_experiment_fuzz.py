"""Whatever is in a file, it is an experiment or a mistake that is told; never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

from experiment_vocabulary import GOOD, VOCABULARY

from meshchaos.errors import UserError
from meshchaos.experiment.reader import read, read_string

PIECES = [
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "| \n",
        "> ",
        "'",
        '"',
        "#",
    ),
    *(
        "%",
        "null",
        "~",
        "yes",
        "on",
        "true",
        "010",
        "1e9",
        "-1",
        "0",
        ".nan",
        "99.5%",
        "2s",
        "10",
        "\x00",
        "\x85",
        "\u2028",
    ),
    *("é", "---\n", "existing", "GameDay", "spec", "faults", "delay", "success", "overrides", "{env: X}", "{value: 1}"),
    *(
        "? ",
        ", ",
        "...",
        "=",
        "@",
        "!!int ",
        "1" * 5000,
        "[" * 99,
        "a: " * 9,
        "{regex: '('}",
        "{prefix: 1}",
        "http://[",
    ),
]
RUNS = 1_500


def mutated(draw: random.Random) -> bytes:
    text = GOOD
    for _ in range(draw.randint(1, 5)):
        start = draw.randrange(len(text))
        end = min(len(text), start + draw.choice([0, 0, 1, 1, 3, 10, 40]))
        what = draw.randrange(5)
        if what == 0:
            text = text[:start] + text[end:]
        elif what == 1:
            text = text[:start] + draw.choice(PIECES) + text[end:]
        elif what == 2:  # a line somewhere else, or twice
            lines = text.splitlines(keepends=True)
            lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
            text = "".join(lines)
        elif what == 3:  # a word in the place of another
            words = text.split(" ")
            words[draw.randrange(len(words))] = draw.choice([*PIECES, *words])
            text = " ".join(words)
        else:
            text = text[:start] + chr(draw.choice([draw.randrange(0x80), draw.randrange(0xD800), 0x1F600])) + text[end:]
    data = text.encode()
    if draw.random() < 0.05:
        at = draw.randrange(len(data))
        data = data[:at] + bytes([draw.randrange(256)]) + data[at:]
    return data


def test_no_file_makes_a_traceback(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    file = tmp_path / "x.chaos.yaml"
    good = bad = 0
    for _ in range(RUNS):
        data = mutated(draw)
        file.write_bytes(data)
        sets = draw.choice([[], [], ["spec.load.rate=20"], ["spec.faults[0].delay.percentage=5"]])
        try:
            read(file, VOCABULARY, mesh=draw.choice([None, "staging"]), sets=sets)
            good += 1
        except UserError as error:
            bad += 1
            for line in str(error).split("\n"):
                assert line.startswith((f"{file}:", "--set spec.")), (line, data)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r} for {data!r}") from error
    assert good > 0
    assert bad > 0


def test_no_setting_makes_a_traceback() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    steps = [
        "spec",
        "metadata",
        "load",
        "faults",
        "expect",
        "delay",
        "[0]",
        "[1]",
        "[9999999]",
        "rate",
        "phases",
        '["a b"]',
        "x",
    ]
    for _ in range(RUNS):
        path = "".join(
            step if step.startswith("[") else f".{step}" for step in draw.choices(steps, k=draw.randint(0, 4))
        )
        path = ("spec" if draw.random() < 0.7 else "") + path
        setting = path + draw.choice(["=", "=", "=", "", " = "]) + draw.choice(PIECES)
        try:
            read_string(GOOD, "x.yaml", VOCABULARY, sets=[setting])
        except UserError:
            continue
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r} for --set {setting!r}") from error
