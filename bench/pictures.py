# SPDX-License-Identifier: Apache-2.0
"""The pictures of bench/report, as SVG that uses the page's colours, light or dark, and shows values as tooltips."""
import html
import io
import math
import re
import sys

try:
    import matplotlib
except ImportError:
    print("report: matplotlib is not installed; python3 -m pip install -r bench/requirements.txt", file=sys.stderr)
    sys.exit(77)

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, GROUND, MISSING = "#010203", "#fcfdfe", "#e1e2e3"  # svg_of() replaces these by the page's colours
plt.rcParams.update({"font.size": 9, "axes.titlesize": 10, "svg.fonttype": "none", "figure.dpi": 130, "axes.spines.top": False,
                     "axes.spines.right": False, "hatch.linewidth": 0.6, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
                     "xtick.color": INK, "ytick.color": INK, "figure.facecolor": GROUND, "axes.facecolor": GROUND, "savefig.facecolor": GROUND,
                     "legend.labelcolor": INK, "font.sans-serif": ["DejaVu Sans"]})
BOUND = {"memory": "#0a7ea4", "arithmetic": "#c2571a", "launch": "#5b7f2b", "call": "#888888"}  # readable on light and on dark, and by the colour-blind
FEW = 3  # an activation measured at this many sizes or fewer gets no table of its own
SERIES = ["#0a7ea4", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#888888"]
hovers = []  # the tooltips; an artist's gid is the index into this list


def hover(artist, text):
    artist.set_gid(f"hover-{len(hovers)}")
    hovers.append(text)


def said_of(row):
    """A row as a sentence."""
    text = f"{row['name']}: {number(row['real_time'])} us"
    if row.get("floor_us"):
        text += f", {row['floor_us'] / row['real_time']:.0%} of the floor ({row['bound_by']})"
    return text + (f"; {row['error_message']}" if noisy(row) else "")


def svg_of(figure, prefix):
    buffer = io.StringIO()
    matplotlib.rcParams["svg.hashsalt"] = prefix  # ids of two pictures on one page must differ
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r'<g id="hover-(\d+)">', lambda m: f"<g><title>{html.escape(hovers[int(m.group(1))])}</title>", text)
    ids = "".join(c if c.isalnum() else "-" for c in prefix)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{ids}-\1"', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{ids}-", text)
    wide = float(re.search(r'width="([\d.]+)pt"', text).group(1))
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 style="width:{wide * 4 / 3:.0f}px"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    for colour, of_page in ((INK, "var(--ink)"), (GROUND, "var(--ground)"), (MISSING, "var(--missing)")):
        text = text.replace(colour, of_page)
    return re.sub(r'(<text\b(?![^>]*fill)[^>]*style=")', r"\1fill: var(--ink); ", text)


def noisy(row):
    return (row["error_message"] or "").startswith("refused as noisy")


def timed(rows, **wanted):
    """Rows with a time, the noisy ones among them, whose fields are as wanted."""
    return [r for r in rows if (not r["error_occurred"] or noisy(r))
            and all(r.get(field) == value for field, value in wanted.items())]


def shape(row, depth=False):
    if row.get("model"):
        return f"{row['model']}, {row['batch']}"
    return f"{row['batch']} x {row['width']}" + (f" x {row['depth']}" if depth else "")


def number(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def plain_log(axis):
    """A logarithmic axis whose labels are 1, 10, 100 instead of powers; between them 2 and 5 where the axis is short."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if high < 300 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def coloured(axes, grid, why, most, columns, lines):
    """One table of speedups: `grid` has their logarithms; `why` a word and a sentence where there is none."""
    colours = plt.get_cmap("RdBu")
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(lines) - 0.5, -0.5))
    axes.spines[:].set_visible(False)
    for i, line in enumerate(grid):
        for j, value in enumerate(line):
            missing = math.isnan(value)
            word, sentence = why[i][j] if missing else (number(2 ** value), f"{number(2 ** value)} times as fast fused")
            cell = axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=MISSING if missing else colours(0.5 + value / most / 2), edgecolor=GROUND, lw=0.8))
            hover(cell, f"{lines[i]}, {columns[j]}: {sentence}")
            dark = not missing and abs(value) > 0.6 * most
            axes.text(j, i, word, ha="center", va="center", color=INK if missing else "white" if dark else "#111111", fontsize=6.5 if missing else 8)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(lines)), lines)
    axes.tick_params(length=0)


def colour_bar(figure, axes, most):
    image = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(-most, most), "RdBu")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_ticks([k * most / 2 for k in range(-2, 3)], labels=[f"{2 ** (k * most / 2):.2f}x" for k in range(-2, 3)])
    bar.ax.set_ylabel("as fast fused")


def fused_layers(rows, device):
    """By (activation, dtype), then by (batch, width): log2 of the speedup; or a word and a sentence that say why there is none."""
    found, unfused = {}, {}
    for r in rows:
        if r["level"] == "layer" and r["engine"] == "automatic" and r["cache"] == "warm" and r["device"] == device and not r["sweep"] and r.get("graph") is not False:
            kind = r["activation"] + ("" if r["dtype"] == "float32" else f" {r['dtype']}")
            (found if r["fusion"] == "automatic" else unfused if r["fusion"] == "none" else {}).setdefault(kind, {})[r["batch"], r["width"]] = r
    result = {}
    for kind, cells in found.items():
        for size, r in cells.items():
            base = unfused.get(kind, {}).get(size)
            if r.get("speedup"):
                value = math.log2(r["speedup"])
            elif noisy(r):
                value = ("noisy", r["error_message"])
            elif base is None or noisy(base):
                value = ("noisy", "the unfused way was " + (base["error_message"] if base else "not measured"))
            else:
                value = ("failed", r["error_message"] or "no speedup was computed")
            result.setdefault(kind, {})[size] = value
    return result


NEVER = ("not run", "not part of this run, or one call would take too long")


def grids(cells, lines, columns):
    """Values and reasons by line and column, of what cells(line, column) says."""
    every = [[cells(a, b) for b in columns] for a in lines]
    return [[v if isinstance(v, float) else math.nan for v in line] for line in every], [[v if isinstance(v, tuple) else NEVER for v in line] for line in every]


def range_of(results):
    """One scale for every table of a page: log2 of the largest factor that is not far out."""
    values = sorted(abs(v) for data in results for device in devices_of(data["benchmarks"]) for cells in fused_layers(data["benchmarks"], device).values()
                    for v in cells.values() if isinstance(v, float))
    return max(0.1, values[int(0.98 * (len(values) - 1))]) if values else 1


def devices_of(rows):
    return dict.fromkeys(r["device"] for r in rows if r.get("device"))


def heat_map(rows, device, most):
    """Speedup of fusion by shape, a table for each activation."""
    every = fused_layers(rows, device)
    kinds = {kind: cells for kind, cells in every.items() if len(cells) > FEW} or every
    if not kinds:
        return None
    across = min(3, len(kinds))
    down = -(-len(kinds) // across)
    wide = max(len({w for _, w in cells}) for cells in kinds.values())
    high = max(len({b for b, _ in cells}) for cells in kinds.values())
    figure, panels = plt.subplots(down, across, figsize=(1.2 + across * (0.7 + 0.5 * wide), 0.8 + down * (0.8 + 0.26 * high)), squeeze=False,
                                  layout="constrained")
    for axes in panels.flat[len(kinds):]:
        axes.set_axis_off()
    for i, (axes, (kind, cells)) in enumerate(zip(panels.flat, kinds.items())):
        batches, widths = sorted({b for b, _ in cells}), sorted({w for _, w in cells})
        coloured(axes, *grids(lambda b, w: cells.get((b, w)), batches, widths), most, widths, batches)
        axes.set_title(kind)
        axes.set_xlabel("width")
        if i % across == 0:
            axes.set_ylabel("rows")
    figure.suptitle("Speedup by fusion: time of three passes / time of one fused Dense layer", fontsize=10)
    colour_bar(figure, panels.ravel().tolist(), most)
    return figure


def every_activation(rows, device, most):
    """Speedup of fusion for the activations that are measured at few sizes, beside those that are measured at all."""
    kinds = fused_layers(rows, device)
    few = [cells for cells in kinds.values() if len(cells) <= FEW]
    if len(few) < 3:
        return None
    sizes = sorted(set.intersection(*(set(cells) for cells in few)))
    if not sizes:
        return None
    names = sorted(kind for kind, cells in kinds.items() if any(size in cells for size in sizes))
    figure, axes = plt.subplots(figsize=(2.6 + 0.8 * len(sizes), 1.2 + 0.2 * len(names)), layout="constrained")
    coloured(axes, *grids(lambda name, size: kinds[name].get(size), names, sizes), most, [f"{b} x {w}" for b, w in sizes], names)
    axes.set_xlabel("rows x width of one Dense layer")
    axes.set_title("Speedup by fusion, every activation")
    colour_bar(figure, axes, most)
    return figure


def floor_plot(rows, device):
    """Measured time against the roofline floor."""
    data = [r for r in timed(rows, engine="automatic", cache="warm", device=device) if r.get("floor_us") and r["fusion"] == "automatic"]
    if not data:
        return None
    figure, axes = plt.subplots(figsize=(6.4, 4.6))
    marks = {"activation": "s", "layer": "o", "model": "^"}
    for r in data:
        colour = BOUND.get(r["bound_by"], INK)
        hover(axes.plot(r["floor_us"], r["real_time"], marks[r["level"]], color=colour, ms=6, mfc="none" if noisy(r) else colour, alpha=0.85)[0], said_of(r))
    least = min(r["floor_us"] for r in data) / 1.5
    most = max(max(r["floor_us"], r["real_time"]) for r in data) * 1.5
    for factor, style in ((1, "-"), (2, "--"), (10, ":")):
        axes.plot([least, most], [least * factor, most * factor], style, color=INK, lw=0.9)
    axes.set(xscale="log", yscale="log", xlim=(least, most), ylim=(least, most),
             xlabel="floor: the least time the ceilings of this run allow, microseconds",
             ylabel="measured, microseconds a call", title="Time against the roofline floor, fused")
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
    axes.grid(alpha=0.3, which="major")
    kinds = sorted({r["bound_by"] for r in data})
    handles = [Patch(color=BOUND.get(k, INK), label=f"bound by {k}") for k in kinds]
    handles += [Line2D([], [], marker=m, color=INK, ls="", label=k) for k, m in marks.items() if any(r["level"] == k for r in data)]
    handles += [Line2D([], [], color=INK, ls=s, label=t) for s, t in (("-", "at the floor"), ("--", "twice the floor"), (":", "ten times"))]
    if any(noisy(r) for r in data):
        handles.append(Line2D([], [], marker="o", mfc="none", color=INK, ls="", label="refused as noisy"))
    axes.legend(handles=handles, fontsize=7.5, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def roofline(rows, context, device):
    """Rate against arithmetic intensity, under this run's ceilings."""
    data = [r for r in timed(rows, engine="automatic", fusion="automatic", cache="warm", device=device)
            if r.get("flops") and r["level"] != "activation"]
    ceilings = context["ceilings"].get(device)
    if not data or not ceilings:
        return None
    figure, axes = plt.subplots(figsize=(6.4, 4.4))
    low = min(r["flops"] / r["bytes"] for r in data) / 3
    high = max(r["flops"] / r["bytes"] for r in data) * 3
    points = [low * (high / low) ** (i / 200) for i in range(201)]
    dtypes = sorted({r["dtype"] or "float32" for r in data})
    copies = ceilings["copies"]
    best = max(copies, key=lambda copy: copy["gb_per_s"])
    for i, dtype in enumerate(dtypes):
        peak = ceilings["product_gflop_per_s"].get(dtype)
        if not peak:
            continue
        for copy, style, text in ((best, "--", "in the caches"), (copies[-1], "-", "from memory")):
            axes.plot(points, [min(peak, x * copy["gb_per_s"]) for x in points], style, color=SERIES[i], lw=1.2,
                      label=f"{dtype}: {number(peak)} GFLOP/s, {number(copy['gb_per_s'])} GB/s {text}")
        for r in (r for r in data if (r["dtype"] or "float32") == dtype):
            mark = "^" if r["level"] == "model" else "o"
            hover(axes.plot(r["flops"] / r["bytes"], r["flops"] / r["real_time"] * 1e-3, mark, color=SERIES[i], mfc="none" if noisy(r) else SERIES[i], ms=5.5,
                            alpha=0.8)[0], said_of(r))
    axes.set(xscale="log", yscale="log", xlabel="arithmetic intensity, flops a byte that has to move", ylabel="GFLOP/s",
             title="Roofline (circles: layers, triangles: models; hollow: refused as noisy)")
    plain_log(axes.xaxis)
    plain_log(axes.yaxis)
    axes.grid(alpha=0.3, which="major")
    axes.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    return figure


def engines(rows, device):
    """Engines of one layer side by side, for the activation that most rows have."""
    data = [r for r in timed(rows, level="layer", cache="warm", device=device) if r["engine"] != "automatic"]
    if not data:
        return None
    names = sorted({r["activation"] for r in data})
    activation = "tanh" if "tanh" in names else names[0]
    data = [r for r in data if r["activation"] == activation and r["dtype"] == data[0]["dtype"]]
    sizes = sorted({(r["batch"], r["width"]) for r in data})
    if len(sizes) > 12:  # too many bars to read
        sizes = [size for size in sizes if size[0] in (1, 64, 4096) and size[1] in (64, 256, 1024)] or sizes[:12]
    kinds = list(dict.fromkeys((r["engine"], r["fusion"]) for r in data))
    figure, axes = plt.subplots(figsize=(8.2, 4.2))
    step = 0.85 / len(kinds)
    hatched = False
    for k, kind in enumerate(kinds):
        first = True
        for i, size in enumerate(sizes):
            for r in (r for r in data if (r["engine"], r["fusion"]) == kind and (r["batch"], r["width"]) == size):
                hatched |= noisy(r)
                bars = axes.bar(i - 0.425 + (k + 0.5) * step, r["real_time"], step * 0.92, color=SERIES[k % len(SERIES)],
                                hatch="////" if noisy(r) else None, edgecolor="white" if noisy(r) else "none",
                                label=f"{kind[0]} ({kind[1]})" if first else None)
                hover(bars[0], said_of(r))
                first = False
    axes.set_xticks(range(len(sizes)), [f"{b}\nx {w}" for b, w in sizes])
    axes.set(yscale="log", ylabel="microseconds a call", xlabel="rows x width of one Dense layer",
             title=f"Engines side by side: Dense with {activation}, {data[0]['dtype']}" + (" (hatched: refused as noisy)" if hatched else ""))
    plain_log(axes.yaxis)
    axes.grid(alpha=0.3, axis="y", which="major")
    axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def peers(rows):
    """Peers side by side: their time over lamella's."""
    data = [r for r in rows if r["name"].startswith("peer/") and r["ratio"]]
    if not data:
        return None
    cells = list(dict.fromkeys(shape(r, depth=True) for r in data))
    names = list(dict.fromkeys(r["peer"] for r in data))
    figure, axes = plt.subplots(figsize=(max(6.0, 0.85 * len(cells) + 2.4), 4.0))
    step = 0.85 / len(names)
    for k, name in enumerate(names):
        chosen = [r for r in data if r["peer"] == name]
        at = [cells.index(shape(r, depth=True)) - 0.425 + (k + 0.5) * step for r in chosen]
        bars = axes.bar(at, [r["ratio"] for r in chosen], step * 0.92, color=SERIES[k % len(SERIES)], label=name)
        for bar, r in zip(bars, chosen):
            if r.get("error_occurred"):
                bar.set(hatch="////", edgecolor="white")
            hover(bar, f"{name}, {shape(r, depth=True)}: {number(r['real_time'])} us, lamella {number(r['lamella_us'])} us")
            axes.text(bar.get_x() + bar.get_width() / 2, r["ratio"] * 1.05, number(r["ratio"]), ha="center", va="bottom", fontsize=6.5, rotation=90,
                      bbox={"facecolor": GROUND, "edgecolor": "none", "pad": 0.2})
    axes.axhline(1, color=INK, lw=1)
    axes.set_xticks(range(len(cells)), [c.replace(" x ", "\nx ", 1) for c in cells])
    top = max(r["ratio"] for r in data)
    axes.set(yscale="log", ylim=(min(0.5, min(r["ratio"] for r in data) / 1.3), top * 2.2), ylabel="time of the peer / time of lamella",
             xlabel="rows x width x layers",
             title="Peers side by side: above the line lamella is faster" + (" (hatched: noisy)" if any(map(noisy, data)) else ""))
    plain_log(axes.yaxis)
    axes.grid(alpha=0.3, axis="y", which="major")
    axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def growth(rows, device):
    """Time as work grows, and where it stops being flat."""
    data = [r for r in timed(rows, cache="warm", fusion="automatic", device=device) if r.get("sweep")]
    kinds = [k for k in ("batch", "width", "depth") if any(r["sweep"] == k for r in data)]
    if not kinds:
        return None
    figure, all_axes = plt.subplots(1, len(kinds), figsize=(3.4 * len(kinds), 3.3), squeeze=False)
    for axes, kind in zip(all_axes[0], kinds):
        line = sorted((r for r in data if r["sweep"] == kind), key=lambda r: r[kind])
        axes.plot([r[kind] for r in line], [r["real_time"] for r in line], "-", color=SERIES[0], lw=1.2, label="measured")
        for r in line:
            hover(axes.plot(r[kind], r["real_time"], "o", color=SERIES[0], mfc="none" if noisy(r) else SERIES[0], ms=5)[0], said_of(r))
        axes.plot([r[kind] for r in line], [r["floor_us"] for r in line], "--", color=INK, lw=0.9, label="floor")
        edge = next((r for r in line if r["real_time"] > 2 * line[0]["real_time"]), None)
        if edge:
            axes.axvline(edge[kind], color=SERIES[4], lw=0.9, ls=":", label=f"more than twice\nthe first: {edge[kind]}")
        fixed = ", ".join(f"{k} {line[0][k]}" for k in ("batch", "width", "depth") if k != kind)
        axes.set(xscale="log", yscale="log", xlabel=kind, title=f"growing {kind}\n({fixed})")
        plain_log(axes.xaxis)
        plain_log(axes.yaxis)
        axes.grid(alpha=0.3, which="major")
        axes.legend(fontsize=7, frameon=False)
    all_axes[0][0].set_ylabel("microseconds a call")
    figure.tight_layout()
    return figure
