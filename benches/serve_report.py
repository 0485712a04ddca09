"""Makes a table and a plot of what serve.sh measured: serve_report.py [--print] RESULTS MACHINE PHOTOS SMALL

RESULTS has a line for each load: set, server, connections, requests/s, median and 99th percentile in ms, MB/s, failed requests, and
CPU milliseconds a second. MACHINE, PHOTOS and SMALL are words about them. Both go into docs/, between two marks in
performance.md and as serve.svg; with --print the table goes to stdout instead. Exits 1 when a target is missed.
"""

import statistics
import sys
from collections import defaultdict
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARKS = "<!-- serve.sh: begin -->\n", "<!-- serve.sh: end -->"
SERVERS = {"nginx": "nginx", "random_index": "nginx `random_index`", "old": "old service", "imagepool": "imagepool"}
COLOURS = {"nginx": "#4c78a8", "random_index": "#9ecae9", "old": "#bab0ac", "imagepool": "#e45756"}
# At 64 connections: set, server, how many times its requests/s.
TARGETS = [
    ("photos", "nginx", 1.2),
    ("photos", "random_index", 1.6),
    ("photos", "old", 5),
    ("small", "nginx", 1.1),
    ("small", "random_index", 10),
    ("small", "old", 20),
]
MOST_P99_RATIO = 0.8


def read(path):
    rounds = defaultdict(list)
    for line in Path(path).read_text().splitlines():
        place, server, connections, *numbers = line.split()
        if place != "warm":
            rounds[place, server, int(connections)].append([float(number) for number in numbers])
    return {key: [statistics.median(column) for column in zip(*lines)] for key, lines in rounds.items()}


def cpu_microseconds(row):
    return 1000 * row[5] / row[0]


def table(results, titles):
    lines = []
    for place, title in titles.items():
        lines += [
            "",
            f"| {title} | connections | requests/s | of nginx | median, ms | 99 %, ms | of nginx | CPU a request, µs |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for connections in sorted({key[2] for key in results}):
            nginx = results[place, "nginx", connections]
            for server, name in SERVERS.items():
                row = results[place, server, connections]
                failed = f" ({row[4]:.0f} failed)" if row[4] else ""
                lines.append(
                    f"| {name} | {connections} | {row[0]:,.0f}{failed} | {row[0] / nginx[0]:.2f} | {row[1]:.2f} "
                    f"| {row[2]:.2f} | {row[2] / nginx[2]:.2f} | {cpu_microseconds(row):.1f} |"
                )
    return lines


def judge(results):
    lines, missed = [], False

    def say(words, met):
        nonlocal missed
        missed |= not met
        lines.append(f"- {'met' if met else 'MISSED'}: {words}")

    for place, server, least in TARGETS:
        ratio = results[place, "imagepool", 64][0] / results[place, server, 64][0]
        say(f"{place}, 64 connections: {ratio:.2f} times {SERVERS[server]}'s requests/s, at least {least}", ratio >= least)
    for place in ("photos", "small"):
        ours, theirs = results[place, "imagepool", 64], results[place, "nginx", 64]
        ratio = ours[2] / theirs[2]
        say(f"{place}, 64 connections: {ratio:.2f} of nginx's 99th percentile, at most {MOST_P99_RATIO}", ratio <= MOST_P99_RATIO)
        ratio = cpu_microseconds(ours) / cpu_microseconds(theirs)
        say(f"{place}, 64 connections: {ratio:.2f} of nginx's CPU a request, below 1", ratio < 1)
    failed = sum(row[4] for key, row in results.items() if key[1] == "imagepool")
    say("no request to imagepool failed", failed == 0)
    return lines, missed


def plot(results, titles):
    """Bars of requests/s, as a share of the panel's highest."""
    connections = sorted({key[2] for key in results})
    panel_width, height, bar, gap = 400, 220, 18, 26
    width = panel_width * len(titles) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 110}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height + 110}" fill="white"/>',
    ]
    for panel, (place, title) in enumerate(titles.items()):
        left, bottom = 30 + panel * panel_width, height + 40
        most = max(results[place, server, count][0] for server in SERVERS for count in connections)
        parts.append(f'<text x="{left}" y="22" font-size="14">{title}: requests a second</text>')
        for group, count in enumerate(connections):
            start = left + group * (bar * len(SERVERS) + gap)
            for column, server in enumerate(SERVERS):
                rate = results[place, server, count][0]
                tall = max(1, rate / most * (height - 20))
                x = start + column * bar
                parts.append(
                    f'<rect x="{x}" y="{bottom - tall:.1f}" width="{bar - 2}" height="{tall:.1f}" fill="{COLOURS[server]}"/>'
                )
                label = f"{rate / 1000:.1f}k" if rate < 9950 else f"{rate / 1000:.0f}k"
                parts.append(
                    f'<text x="{x + bar / 2 - 1}" y="{bottom - tall - 4:.1f}" font-size="8" text-anchor="middle">{label}</text>'
                )
            middle = start + bar * len(SERVERS) / 2
            parts.append(f'<text x="{middle}" y="{bottom + 16}" text-anchor="middle">{count}</text>')
        parts.append(f'<text x="{left}" y="{bottom + 34}" fill="#555">connections</text>')
    for place, (server, name) in enumerate(SERVERS.items()):
        x = 30 + place * 170
        parts.append(f'<rect x="{x}" y="{height + 88}" width="12" height="12" fill="{COLOURS[server]}"/>')
        parts.append(f'<text x="{x + 18}" y="{height + 98}">{name.replace("`", "")}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def main(arguments):
    printing = arguments[:1] == ["--print"]
    path, machine, photos, small = arguments[printing:]
    results, titles = read(path), {"photos": photos, "small": small}
    judged, missed = judge(results)
    text = "\n".join([f"{machine}.", *table(results, titles), "", *judged]) + "\n"
    if printing:
        print(text, end="")
    else:
        page = (DOCS / "performance.md").read_text()
        before, rest = page.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        picture = "![Requests a second](serve.svg)\n"
        (DOCS / "performance.md").write_text(f"{before}{MARKS[0]}{text}\n{picture}{MARKS[1]}{after}")
        (DOCS / "serve.svg").write_text(plot(results, titles))
        print("\n".join(judged))
    return missed


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
