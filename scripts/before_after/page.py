"""The sheet: a page of HTML that shows pictures before and after, needing nothing but its own folder."""

import html
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from .reference import on

# Pictures wider than a column are shown smaller; those far smaller are shown larger, pixel by pixel.
COLUMN = 300
AMPLIFIED = 8

STYLE = """
:root { color-scheme: light dark; --page: #e4e4e4; --card: #f4f4f4; --ink: #1c1c1c; --faint: #666; --line: #c4c4c4;
  --bad: #b3261e; --bad-page: #f6dcda; --good: #1d6b35; --check: #d0d0d0; --check-2: #fff; }
@media (prefers-color-scheme: dark) { :root { --page: #262626; --card: #323232; --ink: #e8e8e8; --faint: #a0a0a0;
  --line: #4a4a4a; --bad: #ff8a80; --bad-page: #4a2b2a; --good: #83d39b; --check: #555; --check-2: #777; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 24px; background: var(--page); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
main { max-width: 1360px; margin: 0 auto; }
h1 { font-size: 24px; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 32px 0 8px; }
p { margin: 4px 0; }
.faint { color: var(--faint); }
.good { color: var(--good); } .bad { color: var(--bad); }
.sum { font-size: 18px; margin: 12px 0; } .sum b { font-variant-numeric: tabular-nums; }
nav { margin: 8px 0; line-height: 1.9; }
nav a, .wrongs a { color: inherit; }
nav a { white-space: nowrap; margin-right: 14px; }
.wrongs { margin: 0; padding-left: 20px; columns: 2; column-gap: 32px; }
.rows { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; }
article { display: grid; grid-template-columns: 5fr 5fr 3fr; gap: 8px 12px; align-content: start; min-width: 0;
  background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--good); border-radius: 4px;
  padding: 10px 12px; }
article.wrong { border-left-color: var(--bad); background: var(--bad-page); }
article.skipped { border-left-color: var(--line); display: block; }
article.moving { grid-column: 1 / -1; grid-template-columns: 260px 260px 156px 1fr; }
article > div { grid-column: 1 / -1; min-width: 0; }
article.moving > .facts { grid-column: 4; grid-row: 1; }
h3 { font-size: 15px; margin: 0; }
.facts p { margin: 1px 0; font-size: 13px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 12px; color: var(--faint); margin-top: 2px; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; max-height: 180px; border: 1px solid var(--line);
  background: repeating-conic-gradient(var(--check) 0 25%, var(--check-2) 0 50%) 0 0 / 16px 16px; }
img.small { image-rendering: pixelated; min-width: 96px; }
img.long { object-fit: cover; object-position: 0 0; }
.none { height: 100px; display: grid; place-items: center; border: 1px dashed var(--line); color: var(--faint); }
.strip { grid-column: 1 / -1; display: flex; gap: 10px; flex-wrap: wrap; }
.strip img { height: 82px; width: auto; }
ul { margin: 4px 0; padding-left: 18px; } li { overflow-wrap: anywhere; }
@media (max-width: 1000px) { .rows { grid-template-columns: 1fr; } .wrongs { columns: 1; } }
"""


def write_images(result, number, out):
    """The pictures that the page shows beside sources and stored files."""
    kind, before, after = result.kind, result.before, result.after
    if kind.in_browsers:
        result.images["before"] = f"sources/{kind.file.name}"
    elif before is not None:
        result.images["before"] = save(before.frames[0], out, f"{number}-before")
        if len(before.frames) > 1:
            result.images["before"] = save_animation(before, out, f"{number}-before")
    if before is not None and after is not None and before.size == after.size:
        apart = np.abs(on(128, before.frames[0]) - on(128, after.frames[0])) * AMPLIFIED
        apart = np.pad(np.clip(apart, 0, 255), ((0, 0), (0, 0), (0, 1)), constant_values=255)
        result.images["apart"] = save(apart.astype(np.uint8), out, f"{number}-apart")
    result.images["strip"] = [
        (label, save(first, out, f"{number}-{label}-before"), save(second, out, f"{number}-{label}-after"))
        for label, first, second in result.moments
    ]


def save(rgba, out, name):
    path = out / "shown" / f"{name}.png"
    Image.fromarray(rgba).save(path, optimize=False)
    return f"shown/{path.name}"


def save_animation(picture, out, name):
    path = out / "shown" / f"{name}.png"
    first, *others = map(Image.fromarray, picture.frames)
    first.save(
        path, save_all=True, append_images=others, duration=picture.durations, loop=picture.loops or 0, blend=0
    )
    return f"shown/{path.name}"


def write(results, out, version, options):
    wrong = [result for result in results if result.wrong]
    skipped = [result for result in results if result.kind.skipped]
    right = len(results) - len(wrong) - len(skipped)
    groups = {}
    for number, result in enumerate(results):
        groups.setdefault(result.kind.group, []).append((number, result))
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>imagepool: before and after</title><style>{STYLE}</style><main>",
        "<h1>Before and after, for every kind of picture</h1>",
        f"<p class=faint>{text(version)}; {made}. Before is the source as this browser shows it, or, where "
        "browsers can't, as a reference decoder does, upright and in sRGB. After is what the gallery stores. Difference is the "
        f"first frame's, times {AMPLIFIED}.</p>",
        f"<p class=sum><b>{len(results)}</b> kinds: <b class=good>{right}</b> right, "
        f"<b class=bad>{len(wrong)}</b> wrong, <b>{len(skipped)}</b> skipped.</p>",
        f"<p class=faint>Right: imported, with its size, frames, times and loops, without metadata, mean difference at "
        f"most {options.mean:g} of 255 and no block of 16 x 16 pixels off by more than {options.block:g}. "
        "A bound may be wider where a row's source is itself inexact.</p><nav>",
    ]
    for group, rows in groups.items():
        bad = sum(bool(result.wrong) for _, result in rows)
        mark = f"<span class=bad>{bad} wrong of {len(rows)}</span>" if bad else f"<span class=good>{len(rows)}</span>"
        parts.append(f"<a href='#{anchor(group)}'>{text(group)}</a>{mark} &ensp; ")
    parts.append("</nav>")
    if wrong:
        parts.append("<details><summary>Everything that is wrong</summary><ul class=wrongs>")
        for number, result in enumerate(results):
            if result.wrong:
                title = f"{result.kind.group}: {result.kind.name}"
                parts.append(f"<li><a href='#k{number}'>{text(title)}</a>: {text(result.wrong[0])}</li>")
        parts.append("</ul></details>")
    for group, rows in groups.items():
        parts.append(f"<h2 id='{anchor(group)}'>{text(group)}</h2>")
        parts.append("<div class=rows>" + "\n".join(row(number, result) for number, result in rows) + "</div>")
    (out / "index.html").write_text("\n".join(parts) + "</main></html>\n")


def text(value):
    return html.escape(str(value))


def anchor(group):
    return "".join(c if c.isalnum() else "-" for c in group.lower())


def row(number, result):
    kind, report = result.kind, result.report
    if kind.skipped:
        return (
            f"<article class=skipped id=k{number}><h3>{text(kind.name)}</h3>"
            f"<p class=faint>skipped: {text(kind.skipped)}</p></article>"
        )
    before, after = result.before, result.after
    native = "the source itself" if kind.in_browsers else "by a reference decoder"
    look = ("wrong" if result.wrong else "right") + (" moving" if result.moments else "")
    parts = [f"<article class='{look}' id=k{number}>"]
    parts.append("<div class=facts>" + facts(result, report) + "</div>")
    parts.append(figure(result.images.get("before"), before, f"before, {native}", kind.file.stat().st_size))
    coding = f"after, {result.stored.coding} WebP" if result.stored else "after"
    parts.append(figure(result.images.get("after"), after, coding, result.stored_bytes))
    parts.append(figure(result.images.get("apart"), after, f"difference x {AMPLIFIED}", None))
    if result.moments:
        parts.append(strip(result))
    return "".join(parts) + "</article>"


def figure(address, picture, label, size_bytes):
    if not address:
        return f"<figure><div class=none>nothing</div><figcaption>{text(label)}</figcaption></figure>"
    says = [label]
    look = ""
    if picture is not None:
        width, height = picture.size
        look = " class=small" if max(width, height) <= 96 else " class=long" if max(width, height) > 4000 else ""
        if size_bytes is not None:
            says.append(f"{width} x {height}")
            if len(picture.frames) > 1:
                says.append(f"{len(picture.frames)} frames")
    if size_bytes:
        says.append(f"{size_bytes:,} bytes")
    link = f"<a href='{text(address)}'><img{look} loading=lazy src='{text(address)}' alt=''></a>"
    return f"<figure>{link}<figcaption>{text(', '.join(says))}</figcaption></figure>"


def facts(result, report):
    kind = result.kind
    parts = [f"<h3>{text(kind.name)}</h3>"]
    if kind.says:
        parts.append(f"<p class=faint>{text(kind.says)}</p>")
    if result.wrong:
        parts.append("<ul class=bad>" + "".join(f"<li>{text(problem)}</li>" for problem in result.wrong) + "</ul>")
    if result.after:
        line = report["status"].replace("_", " ")
        if result.difference:
            line += f"; mean difference {result.difference.mean:.2f}, worst block {result.difference.block:.1f}"
        parts.append(f"<p>{text(line)}</p>")
    parts += [f"<p>note: {text(note)}</p>" for note in report.get("notes", [])]
    return "".join(parts)


def strip(result):
    """Frames 0, n/4, n/2 and n-1 of both, above each other, and the times of all."""
    parts = []
    for label, first, second in result.images["strip"]:
        parts.append(
            f"<figure><img loading=lazy src='{first}' alt=''><img loading=lazy src='{second}' alt=''>"
            f"<figcaption>frame {text(label)}</figcaption></figure>"
        )
    times = "".join(
        f"<p>{name}: {text(times_of(picture))}</p>"
        for name, picture in (("before", result.before), ("after", result.after))
    )
    return f"<div class=strip>{''.join(parts)}<div class=faint>Above before, below after.{times}</div></div>"


def times_of(picture):
    if len(picture.frames) == 1:
        return "a still"
    shown = " ".join(map(str, picture.durations[:16]))
    if len(picture.durations) > 16:
        shown += f" ... {picture.durations[-1]}"
    loops = "" if picture.loops is None else "; plays " + ("for ever" if picture.loops == 0 else f"{picture.loops} x")
    return f"{shown} ms, {sum(picture.durations)} in all{loops}"
