"""The audit as a command: `python -m redlib.audit checkpoint.pt --data images/ --out audit.html --json out.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from redlib.audit import audit
from redlib.audit.advice import next_step
from redlib.audit.inputs import LIMIT
from redlib.audit.page import check_target, write
from redlib.audit.report import Report
from redlib.errors import BadInput


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    found = argparse.ArgumentParser(prog="python -m redlib.audit", description="How redundant is my network?")
    found.add_argument("checkpoint", help="TorchScript or torch.export archive, .safetensors, or a state_dict")
    found.add_argument("--model", help="package.module:factory that builds the net of bare weights")
    found.add_argument("--data", help="folder of images (subfolders are classes) or .npz with x and y")
    found.add_argument("--out", help="where to write the HTML page")
    found.add_argument("--json", help="where to write every number; the verdict is printed in any case")
    found.add_argument("--tolerate", type=float, default=0.5, help="points of accuracy that may be lost (0.5)")
    found.add_argument("--limit", type=int, default=LIMIT, help=f"examples at most ({LIMIT})")
    found.add_argument("--size", type=int, help="scale images to so many pixels a side")
    found.add_argument("--mean", type=float, nargs="+", help="of the channels of images, which are numbers from 0 to 1")
    found.add_argument("--std", type=float, nargs="+", help="likewise")
    found.add_argument("--background", help="colour behind transparent images, such as white")
    found.add_argument("--output", type=place_or_name, help="which of several is judged: its place from 0, or name")
    found.add_argument("--effort", type=float, default=1.0, help="how much the net is run; 1 is some minutes")
    found.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    found.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    return found


def place_or_name(text: str) -> int | str:
    """Return which output is meant: a whole number is a place."""
    return int(text) if text.isdecimal() else text


def text_of(report: Report) -> str:
    """Return the verdict as plain text: what was examined, most surplus, what to do next, and what was not examined."""
    head = f"{report.net}: {len(report.records)} layers, {report.parameters:,} parameters, {report.seconds:.0f} s"
    lines = [head + ("" if report.complete else " (interrupted)")]
    for row in report.verdict().head(20).to_dict("records") if report.records else []:
        lines.append(f"{row['surplus']:5.0%}  {row['surplus_parameters']:12,.0f}  {row['layer']}: {row['evidence']}")
    lines += [f"next: {next_step(report)}"]
    lines += [measure.says for measure in report.features.values()]
    lines += [curve.says for curve in report.whole.values()]
    lines += [f"not examined: {one.name} ({one.kind}): {one.reason}" for one in report.skipped]
    return "\n".join(lines)


def check_targets(out: str | None, json: str | None) -> None:
    """Raise BadInput where a file cannot be written, or where both are the same."""
    targets = [check_target(path, what) for what, path in (("--out", out), ("--json", json)) if path]
    if len({target.resolve() for target in targets}) < len(targets):
        raise BadInput.of("--json", json, "another file than --out", "Give it another name.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 1 after Ctrl-C, or 2 with one line on stderr for bad input."""
    asked = parser().parse_args(arguments)
    try:
        check_targets(asked.out, asked.json)
        options = {name: v for name, v in vars(asked).items() if name not in ("checkpoint", "data", "json", "out")}
        report = audit(asked.checkpoint, asked.data, **options)
        texts = {asked.out: report.html()} if asked.out else {}
        write(texts | ({asked.json: report.to_json() + "\n"} if asked.json else {}))
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 1
    print(text_of(report))
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
