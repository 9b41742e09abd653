"""Measures herd: each scenario by its name, or all of them. scripts/bench builds the programs first."""

import argparse
import contextlib
import json
import sys

from rig import Failure, Rig, machine, program, urgent
from scenarios import LATENCY, SCENARIOS


def shown(row, width):
    if row.value is None:
        return f"  {row.what}"
    limit = f"   (aim: <= {row.limit:g})" if row.limit is not None else ""
    return f"  {row.what:<{width}} {row.value:>12,.3f} {row.unit:<10}{limit}"


def show(name, table):
    print(f"\n{table.title}   [{name}]")
    width = max(len(row.what) for row in table.rows)
    for row in table.rows:
        print(shown(row, width))
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="scenarios:\n" + "\n".join(
                                         f"  {name:<10} {run.__doc__}" for name, run in SCENARIOS.items()))
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], metavar="SCENARIO")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement; the best counts, of two and overload the median and the worst")
    parser.add_argument("--seconds", type=float, default=2, help="measured seconds of a run")
    parser.add_argument("--urgent", action="store_true",
                        help="before all others on this machine (root), real-time where latency is measured")
    parser.add_argument("--quick", action="store_true", help="smaller, to see that it works: its figures say little")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.3
    found, failed = {}, False
    for name in options.scenario or SCENARIOS:
        try:
            first = urgent(name in LATENCY) if options.urgent else contextlib.nullcontext()
            with first, Rig(options) as rig:
                table = SCENARIOS[name](rig)
        except (Failure, OSError) as failure:
            failed = True
            found[name] = {"failed": str(failure)}
            print(f"scripts/bench: {name}: {failure}", file=sys.stderr)
            continue
        found[name] = {"title": table.title, "rows": [row._asdict() for row in table.rows]}
        if not options.json:
            show(name, table)
    given = {name: getattr(options, name) for name in ("rounds", "seconds", "urgent", "quick")}
    if options.json:
        json.dump({"machine": machine(), "program": program(), "options": given, "scenarios": found}, sys.stdout, indent=2)
        print()
    else:
        print("\n" + ", ".join(f"{key}: {value}" for key, value in (machine() | program() | given).items()))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
